// Tests of marks: messages, how they become phases, sockets, and the ways by which C and Python programs write them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "batchscope/mark.h"
#include "store/test_folder.h"
#include "telemetry/command/command.h"
#include "telemetry/marks/channel.h"
#include "telemetry/marks/environment.h"
#include "telemetry/marks/receiver.h"
#include "telemetry/marks/sink.h"

namespace batchscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Nanoseconds now = std::chrono::seconds(100);

std::string message(const std::string& kind, std::int64_t sequence, std::int64_t time, const std::string& name,
                    const std::string& id = "", int thread = 7) {
  return kind + "\t" + std::to_string(sequence) + "\t" + std::to_string(time) + "\t" + std::to_string(time) + "\t" +
         std::to_string(thread) + "\t\t" + id + "\t" + name + "\t";
}

// "name@track begin-end detail"
std::string to_line(const Phase& phase) {
  return phase.name + "@" + phase.track + " " + std::to_string(phase.begin.count()) + "-" +
         std::to_string(phase.end.count()) + (phase.detail.empty() ? "" : " ") + phase.detail;
}

class MarkedPhasesTest : public testing::Test {
 protected:
  void take(const std::string& text) { phases_.take(text, sender_, now); }
  std::vector<std::string> lines() {
    std::vector<std::string> out;
    for (const Phase& phase : phases_.pending()) out.push_back(to_line(phase));
    return out;
  }
  MarkedPhases phases_;
  MarkSender sender_{.number = 1, .name = "p 7", .pid = 7};
};

TEST(Mark, IsReadFieldByField) {
  const auto mark = parse_mark("phase\t3\t10\t20\t4\tcpu:0\t9\tbatch\t64 sequences");
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->kind, Mark::Kind::phase);
  EXPECT_EQ(mark->sequence, 3);
  EXPECT_EQ(mark->begin.count(), 10);
  EXPECT_EQ(mark->end.count(), 20);
  EXPECT_EQ(mark->thread, 4);
  EXPECT_EQ(mark->track + "|" + mark->id + "|" + mark->name + "|" + mark->detail, "cpu:0|9|batch|64 sequences");
}

TEST(Mark, TextsAreFitToBeShown) {
  EXPECT_EQ(parse_mark("point\t1\t1\t1\t0\t\t\ta\xff\x1b[2Jb\t")->name, "a\\xff\\x1b[2Jb");
}

TEST(Mark, NonsenseIsRefused) {
  for (const char* text :
       {"", "\t\t\t\t\t\t\t\t", "point", "point\t1\t1\t1\t0\t\t\tname", "point\t1\t1\t1\t0\t\t\tname\tdetail\tmore",
        "begun\t1\t1\t1\t0\t\t\tname\t", "point\t0\t1\t1\t0\t\t\tname\t", "point\t1\t-1\t1\t0\t\t\tname\t",
        "point\t1\t1\t99999999999999999999\t0\t\t\tname\t", "point\t1\t1\t1\t0\t\t\t\t",
        "phase\t1\t2\t1\t0\t\t\tname\t", "point\t1\t1x\t1\t0\t\t\tname\t", "end\t1\t1\t1\t0\t\t\t\t"})
    EXPECT_FALSE(parse_mark(text)) << text;
  EXPECT_FALSE(parse_mark(message("point", 1, 1, std::string(longest_mark, 'x'))));
}

TEST_F(MarkedPhasesTest, AnEndBelongsToTheLastBeginOfItsNameAndThread) {
  take(message("begin", 1, 10, "a"));
  take(message("begin", 2, 20, "a"));
  take(message("begin", 3, 30, "a", "", 8));
  take(message("end", 4, 40, "a"));
  take(message("end", 5, 50, "a", "", 8));
  take(message("end", 6, 60, "a"));
  take(message("point", 7, 70, "b"));
  EXPECT_THAT(lines(), ElementsAre("a@p 7 20-40", "a@p 7 thread 8 30-50", "a@p 7 10-60", "b@p 7 70-70"));
}

TEST_F(MarkedPhasesTest, IdsMatchAcrossThreadsWithinTheirSender) {
  MarkSender other{.number = 2, .name = "q 9", .pid = 9};
  take(message("begin", 1, 10, "a", "1"));
  phases_.take(message("begin", 1, 15, "b", "1", 9), other, now);
  take(message("end", 2, 20, "", "1", 8));
  phases_.take(message("end", 2, 30, "", "1", 9), other, now);
  EXPECT_THAT(lines(), ElementsAre("a@p 7 10-20", "b@q 9 15-30"));
}

TEST_F(MarkedPhasesTest, WhatIsUnderWayEndsWithTheRecording) {
  take(message("begin", 1, 10, "a"));
  EXPECT_THAT(lines(), IsEmpty());
  phases_.end_all(Nanoseconds(90));
  EXPECT_THAT(lines(), ElementsAre("a@p 7 10-90 not ended before the recording"));
  ASSERT_EQ(phases_.totals().size(), 1U);  // how long it would have been, nobody knows
  EXPECT_EQ(phases_.totals()[0].not_ended, 1);
  EXPECT_EQ(phases_.totals()[0].count, 0);
  EXPECT_EQ(phases_.totals()[0].seconds, 0);
  phases_.end_all(Nanoseconds(95));
  EXPECT_THAT(lines(), IsEmpty());
}

TEST_F(MarkedPhasesTest, CountsWhatIsLostRefusedAndUnmatched) {
  take(message("point", 2, 10, "a"));
  take(message("point", 5, 20, "a"));
  take(message("point", 4, 15, "a"));  // another thread's, overtaken
  take("nonsense");
  take(message("point", 6, (now + MarkedPhases::most_ahead).count() + 1, "of another clock"));
  take(message("end", 6, 30, "never begun"));
  phases_.forget(sender_);
  const MarkCounts counts = phases_.counts();
  EXPECT_EQ(counts.received, 4);
  EXPECT_EQ(counts.lost, 2);  // 1 and 3
  EXPECT_EQ(counts.refused, 2);
  EXPECT_EQ(counts.ends_without_begin, 1);
}

TEST_F(MarkedPhasesTest, TotalsAreByNameAndBounded) {
  take("phase\t1\t0\t2000000000\t0\tx\t\tlong\t");
  take("phase\t2\t0\t500000000\t0\ty\t\tshort\t");
  take("phase\t3\t0\t500000000\t0\tz\t\tshort\t");
  ASSERT_EQ(phases_.totals().size(), 2U);
  EXPECT_EQ(phases_.totals()[0].name, "long");
  EXPECT_EQ(phases_.totals()[1].count, 2);
  EXPECT_DOUBLE_EQ(phases_.totals()[1].seconds, 1.0);
  for (std::size_t i = 0; i < 2 * MarkedPhases::most_names; ++i)
    take(message("point", 4 + static_cast<std::int64_t>(i), 1, "n" + std::to_string(i)));
  EXPECT_LE(phases_.totals().size(), MarkedPhases::most_names + 1);
}

TEST_F(MarkedPhasesTest, BeginsWithoutEndAreBounded) {
  for (std::size_t i = 0; i <= MarkedPhases::most_open; ++i)
    take(message("begin", static_cast<std::int64_t>(i) + 1, 1, "a"));
  EXPECT_EQ(phases_.counts().refused, 1);
}

// A recording of marks alone, whose socket's path programs find in their environment.
class MarkReceiverTest : public testing::Test {
 protected:
  MarkReceiverTest() : writer_(folder_ / "r.bscope", OpenMode::create), session_(writer_.begin_session("record")) {
    receiver_.emplace(&writer_, session_, folder_.path());
    setenv(marks_variable, receiver_->path().c_str(), 1);
    batchscope_channel = {};  // this program's own marks begin anew
  }
  ~MarkReceiverTest() override { unsetenv(marks_variable); }
  static int run(const std::vector<std::string>& command) { return exit_code_of(start_command(command)); }
  static std::string beside(const char* name) {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
  }
  std::vector<Phase> stop() {
    receiver_->stop();
    EXPECT_EQ(receiver_->write_error(), std::nullopt);
    return writer_.reader().session_phases(session_);
  }
  TestFolder folder_;
  StoreWriter writer_;
  std::int64_t session_;
  std::optional<MarkReceiver> receiver_;
};

std::vector<std::string> names_of(const std::vector<Phase>& phases) {
  std::vector<std::string> names;
  for (const Phase& phase : phases) names.push_back(phase.name);
  return names;
}

TEST_F(MarkReceiverTest, CProgramsWriteByTheHeader) {
  const Nanoseconds before = monotonic_clock().now();
  ASSERT_EQ(run({beside("mark_program"), "5000"}), 0);
  const auto phases = stop();
  std::size_t more = 0;
  for (const Phase& phase : phases) {
    EXPECT_THAT(phase.track, testing::StartsWith("mark_program "));
    EXPECT_GE(phase.begin, before);
    EXPECT_LE(phase.end, monotonic_clock().now());
    EXPECT_EQ(phase.detail, phase.name == "left open" ? "not ended before the recording" : "");
    more += phase.name == "more";
  }
  EXPECT_THAT(names_of(phases), testing::IsSupersetOf({"outer", "inner", "a point", "left open"}));
  EXPECT_EQ(static_cast<std::int64_t>(more) + 6, receiver_->counts().received);
  EXPECT_LE(receiver_->counts().received + receiver_->counts().lost, 5006);  // the last ones' loss shows in no number
}

TEST_F(MarkReceiverTest, PythonProgramsWriteByTheModule) {
  if (run({"python3", "-c", "import contextlib"}) != 0) GTEST_SKIP() << "no python3";
  setenv("PYTHONPATH", BATCHSCOPE_SOURCE_DIR "/python", 1);
  const int code = run({"python3", "-c", R"(
import batchscope_mark as m, os, threading
@m.phase("decorated")
def work(): m.mark("a\tpoint é" * 200)
with m.phase("with"): work()
thread = threading.Thread(target=work); thread.start(); thread.join()
m.begin("begun"); m.end("begun")
if os.fork() == 0:
    m.mark("of the child")
    os._exit(0)
os.wait()
)"});
  unsetenv("PYTHONPATH");
  ASSERT_EQ(code, 0);
  const auto phases = stop();
  EXPECT_THAT(names_of(phases), testing::IsSupersetOf({"decorated", "decorated", "with", "begun", "of the child"}));
  EXPECT_EQ(receiver_->counts().refused + receiver_->counts().lost + receiver_->counts().ends_without_begin, 0);
  EXPECT_TRUE(std::any_of(phases.begin(), phases.end(),
                          [](const Phase& p) { return p.track.find(" thread ") != std::string::npos; }));
}

TEST_F(MarkReceiverTest, PythonWithoutARecordingSaysNothing) {
  unsetenv(marks_variable);
  if (run({"python3", "-c", "import contextlib"}) != 0) GTEST_SKIP() << "no python3";
  setenv("PYTHONPATH", BATCHSCOPE_SOURCE_DIR "/python", 1);
  EXPECT_EQ(run({"python3", "-W", "error", "-c", "import batchscope_mark as m; m.mark('a'); m.begin('b')"}), 0);
  unsetenv("PYTHONPATH");
}

TEST_F(MarkReceiverTest, EnginesWriteTheirPhasesAndHandThemOn) {
  struct Kept : PhaseSink {
    void record(Phase phase) override { phases.push_back(std::move(phase)); }
    std::vector<Phase> phases;
  } kept;
  MarkSink sink(&kept);
  sink.record({.name = "batch",
               .track = "cpu:0",
               .begin = Nanoseconds(10),
               .end = Nanoseconds(20),
               .clock_offset = Nanoseconds(5),
               .detail = "4 sequences"});
  EXPECT_EQ(kept.phases.size(), 1U);
  const auto phases = stop();
  ASSERT_EQ(phases.size(), 1U);
  EXPECT_EQ(to_line(phases[0]), "batch@cpu:0 15-25 4 sequences");
}

TEST_F(MarkReceiverTest, ForkedSendersHaveNumbersOfTheirOwn) {
  EXPECT_EQ(batchscope_mark("parent"), 1);
  const pid_t child = fork();
  if (child == 0) _exit(batchscope_mark("child") == 1 ? 0 : 1);
  EXPECT_EQ(exit_code_of(child), 0);
  EXPECT_EQ(batchscope_mark("parent"), 1);
  EXPECT_EQ(stop().size(), 3U);
  EXPECT_EQ(receiver_->counts().lost, 0);
}

int connect_to(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.native().copy(address.sun_path, sizeof address.sun_path - 1);
  const int descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return descriptor;
}

TEST_F(MarkReceiverTest, GarbageIsCountedAndHarmsNobody) {
  const int descriptor = connect_to(receiver_->path());
  for (const std::size_t size : {1UL, 100UL, longest_mark, longest_mark + 1, 60'000UL}) {
    const std::string bytes(size, '\xff');
    EXPECT_EQ(send(descriptor, bytes.data(), size, 0), static_cast<ssize_t>(size));
  }
  EXPECT_EQ(batchscope_mark("good"), 1);
  EXPECT_THAT(names_of(stop()), ElementsAre("good"));
  EXPECT_EQ(receiver_->counts().refused, 5);
  close(descriptor);
}

TEST_F(MarkReceiverTest, MarksAfterTheEndGoNowhereAndAreOff) {
  EXPECT_EQ(batchscope_mark("before"), 1);
  stop();
  receiver_.reset();
  EXPECT_EQ(batchscope_mark("after"), 0);
  EXPECT_EQ(batchscope_channel.word & 3, static_cast<unsigned>(batchscope_off));
}

// Nobody reads: the sender must come back at once, and the number of what it dropped must show.
TEST(MarkSocket, AFullSocketDropsAndDoesNotBlock) {
  const TestFolder folder;
  const MarkSocket socket(folder.path());
  setenv(marks_variable, socket.path().c_str(), 1);
  batchscope_channel = {};
  int sent = 0, tried = 0;
  while (tried - sent < 10 && tried < 1'000'000) {
    ++tried;
    sent += batchscope_mark("x");
  }
  unsetenv(marks_variable);
  EXPECT_EQ(tried - sent, 10);
  EXPECT_GT(sent, 100);  // more than a few fit
  EXPECT_EQ(batchscope_channel.sequence, static_cast<unsigned long long>(tried));
}

TEST(MarkSocket, WithoutARecordingMarksAreOff) {
  unsetenv(marks_variable);
  batchscope_channel = {};
  EXPECT_EQ(batchscope_mark("x"), 0);
  EXPECT_EQ(batchscope_begin("x"), 0);
  setenv(marks_variable, "/no/such/socket", 1);
  batchscope_channel = {};
  EXPECT_EQ(batchscope_mark("x"), 0);
  unsetenv(marks_variable);
}

TEST(MarkSocket, RunningOnesAreFoundAndDeadOnesRemoved) {
  const TestFolder folder;
  EXPECT_THAT(running_recordings(folder.path()), IsEmpty());
  const auto dead = folder / "record-999999999";
  const pid_t child = fork();
  if (child == 0) {  // ends without its destructor
    const MarkSocket* socket = new MarkSocket(folder.path());
    std::filesystem::rename(socket->path(), dead);
    _exit(0);
  }
  EXPECT_EQ(exit_code_of(child), 0);
  ASSERT_TRUE(std::filesystem::exists(dead));
  {
    const MarkSocket socket(folder.path());
    const auto running = running_recordings(folder.path());
    ASSERT_EQ(running.size(), 1U);
    EXPECT_EQ(running[0].pid, getpid());
    EXPECT_EQ(running[0].path, socket.path());
  }
  EXPECT_THAT(running_recordings(folder.path()), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(dead));
}

TEST(MarkSocket, IsTheUsersAloneWhateverTheUmask) {
  const TestFolder folder;
  const mode_t before = umask(0);
  const MarkSocket socket(folder.path());
  umask(before);
  struct stat made {};
  ASSERT_EQ(stat(socket.path().c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 0777, 0600U);
}

TEST(MarkSocket, TheFolderIsTheUsersAlone) {
  const TestFolder folder;
  const char* before = std::getenv("XDG_RUNTIME_DIR");
  const std::optional<std::string> kept = before != nullptr ? std::optional<std::string>(before) : std::nullopt;
  setenv("XDG_RUNTIME_DIR", folder.path().c_str(), 1);
  struct stat made {};
  EXPECT_EQ(stat(marks_folder().c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 0777, 0700U);
  chmod(marks_folder().c_str(), 0777);
  EXPECT_THROW(marks_folder(), Failure);
  std::filesystem::remove(folder / "batchscope");
  std::filesystem::create_directory_symlink("/", folder / "batchscope");
  EXPECT_THROW(marks_folder(), Failure);
  EXPECT_THROW(MarkSocket(folder / std::string(200, 'x')), Failure);
  if (kept)
    setenv("XDG_RUNTIME_DIR", kept->c_str(), 1);
  else
    unsetenv("XDG_RUNTIME_DIR");
}

}  // namespace
}  // namespace batchscope
