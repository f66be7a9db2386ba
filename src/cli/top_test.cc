// `batchscope top` and `replay` as programs: in a terminal (a pseudo terminal), and without one. The GPUs are fake.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>

#include <cstdlib>

#include "base/clock.h"
#include "cli/test_program.h"
#include "store/test_folder.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* busy = R"({"start_s": 60, "gpus": 2, "every_gpu": {"load": [{"gpu_utilization": 0.9,
  "power_w": 640, "memory_used_bytes": 1000000000, "throttle": ["power_cap"], "pcie_rx_bytes_per_s": 1073741824,
  "processes": [{"pid": 1, "bytes": 500000000}]}]}})";

void set_surroundings(const std::string& scenario, const char* terminal, const char* language) {
  setenv("LD_LIBRARY_PATH", std::filesystem::path(BATCHSCOPE_FAKE_NVML).parent_path().c_str(), 1);
  setenv("BATCHSCOPE_FAKE_NVML", scenario.c_str(), 1);
  setenv("TERM", terminal, 1);
  setenv("LC_ALL", language, 1);
  setenv("COLUMNS", "80", 1);
  unsetenv("LINES");
}

// The program in a terminal of its own.
class InTerminal {
 public:
  InTerminal(std::vector<std::string> arguments, const char* terminal, const char* language = "C.UTF-8",
             unsigned short columns = 80, unsigned short rows = 24) {
    winsize size{.ws_row = rows, .ws_col = columns};
    pid_ = forkpty(&terminal_, nullptr, nullptr, &size);
    if (pid_ != 0) return;
    set_surroundings(busy, terminal, language);
    unsetenv("COLUMNS");
    const std::string path = program().string();
    arguments.insert(arguments.begin(), path);
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    execv(path.c_str(), words.data());
    _exit(125);
  }
  ~InTerminal() {
    if (pid_ > 0) kill(pid_, SIGKILL), wait_for_program(pid_);
    close(terminal_);
  }

  // Everything written since the last call, until `part` is among it (or 10 s have passed).
  std::string read_until(const std::string& part) {
    std::string text;
    const Nanoseconds end = monotonic_clock().now() + std::chrono::seconds(10);
    while (text.find(part) == std::string::npos && monotonic_clock().now() < end) {
      pollfd ready{.fd = terminal_, .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, 100) <= 0) continue;
      char buffer[4096];
      const ssize_t count = read(terminal_, buffer, sizeof buffer);
      if (count <= 0) break;
      text.append(buffer, static_cast<std::size_t>(count));
    }
    return text;
  }
  void press(const std::string& keys) {
    ASSERT_EQ(write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  void resize(unsigned short columns, unsigned short rows) {
    const winsize size{.ws_row = rows, .ws_col = columns};
    ioctl(terminal_, TIOCSWINSZ, &size);
  }
  void signal(int number) { kill(pid_, number); }
  int code() {
    read_until("\x04 never \x04");  // until it has closed the terminal
    const int code = wait_for_program(pid_);
    pid_ = 0;
    return code;
  }

 private:
  int terminal_ = -1;
  pid_t pid_ = 0;
};

class Top : public testing::Test {
 protected:
  Ended run(const std::vector<std::string>& arguments, const std::string& scenario = busy,
            const char* language = "C.UTF-8") {
    return run_program(arguments, folder_.path(), [&] { set_surroundings(scenario, "xterm", language); });
  }

  TestFolder folder_;
};

TEST_F(Top, OnceIsPlainText) {
  const Ended ended = run({"top", "--once", "--interval", "700ms"});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(ended.output, AllOf(HasSubstr("gpu:0 NVIDIA H200"), HasSubstr("gpu:1"), HasSubstr("power cap"),
                                  HasSubstr("640 of 700 W"), HasSubstr("90 %"), HasSubstr("476.8 MiB"),
                                  HasSubstr("Sampling"), HasSubstr("█"), Not(HasSubstr("\x1b"))));
  EXPECT_THAT(ended.output, testing::ContainsRegex("RX +(1.0 GiB|10[0-9][0-9].. MiB)/s"));
}

// Links so slow that the decoding outlasts every look. Engines of others may run beside it.
TEST_F(Top, ShowsThePhaseOfEachDeviceOfARunningEngine) {
  const pid_t engine = start_program({"generate", "--device", "cpu:2", "--parallel", "tp2", "--link", "200KB/s",
                                      "--prompt", "Ana has a red kite.", "--new-tokens", "200", "--ignore-eos"},
                                     folder_ / "text.txt", folder_ / "engine_errors.txt");
  const auto decoding = [&](int device) {
    return testing::ContainsRegex(
        fmt::format("decode +cpu:{}( .pid {}.)? +[0-9.]+ (ms|s|us) +1 sequences", device, engine));
  };
  std::string screen;
  const Nanoseconds end = monotonic_clock().now() + std::chrono::seconds(60);
  while (!testing::Value(screen, AllOf(decoding(0), decoding(1))) && monotonic_clock().now() < end) {
    const Ended ended = run({"top", "--once", "--interval", "100ms"});
    ASSERT_EQ(ended.code, 0) << ended.errors;
    screen = ended.output;
  }
  EXPECT_EQ(waitpid(engine, nullptr, WNOHANG), 0) << "it has ended too soon";
  kill(engine, SIGINT);
  EXPECT_EQ(wait_for_program(engine), 130) << read_file(folder_ / "engine_errors.txt");
  EXPECT_THAT(screen, AllOf(decoding(0), decoding(1)));
}

TEST_F(Top, OnlyGpusThatAreWanted) {
  const Ended ended = run({"top", "--once", "--gpus", "1", "--interval", "300ms"});
  ASSERT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(ended.output, AllOf(HasSubstr("gpu:1 NVIDIA H200"), Not(HasSubstr("gpu:0"))));
  const Ended refused = run({"top", "--once", "--gpus", "1,2"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.errors, HasSubstr("--gpus: there is no GPU 2; there are 0 (GPU-"));
}

TEST_F(Top, WithoutUtf8ItIsAscii) {
  const Ended ended = run({"top", "--once", "--interval", "300ms"}, busy, "C");
  ASSERT_EQ(ended.code, 0) << ended.errors;
  for (const char c : ended.output) ASSERT_LT(static_cast<unsigned char>(c), 128);
  EXPECT_THAT(ended.output, AllOf(HasSubstr("gpu:1"), HasSubstr("#")));
}

TEST_F(Top, WithoutGpusItSaysWhy) {
  Ended ended;
  do {  // virtual devices of other tests would be shown instead
    ended = run({"top", "--once", "--interval", "200ms"},
                R"({"faults": [{"kind": "answer", "calls": ["nvmlInit_v2"], "result": "driver_not_loaded"}]})");
    ASSERT_EQ(ended.code, 0) << ended.errors;
  } while (ended.output.find("virtual, pid") != std::string::npos);
  EXPECT_THAT(ended.output, AllOf(HasSubstr("No GPU: the NVIDIA kernel driver is not loaded"), HasSubstr("Host")));
}

TEST_F(Top, NeedsATerminal) {
  const Ended top = run({"top"}), replay = run({"replay", "x.bscope"}), interval = run({"top", "--interval", "1ms"});
  EXPECT_EQ(top.code, 2);
  EXPECT_THAT(top.errors, AllOf(HasSubstr("not a terminal"), HasSubstr("--once")));
  EXPECT_EQ(replay.code, 2);
  EXPECT_EQ(interval.code, 2);
  EXPECT_THAT(interval.errors, HasSubstr("--interval: 1ms is not between"));
  InTerminal unknown({"top"}, "no-such-terminal");
  EXPECT_THAT(unknown.read_until("--once"), HasSubstr("TERM=no-such-terminal"));
  EXPECT_EQ(unknown.code(), 2);
}

TEST_F(Top, RunsInEveryTerminalAndGivesItBack) {
  for (const char* terminal : {"xterm", "xterm-256color", "screen", "vt100"}) {
    InTerminal top({"top", "--interval", "200ms"}, terminal);
    EXPECT_THAT(top.read_until("gpu:0"), HasSubstr("gpu:0")) << terminal;
    top.press("h");
    EXPECT_THAT(top.read_until("leaves it"), HasSubstr("leaves it")) << terminal;
    top.press("qq");
    EXPECT_EQ(top.code(), 0) << terminal;
  }
}

TEST_F(Top, ATerminalWithoutACursorGetsScreenAfterScreen) {
  InTerminal top({"top", "--interval", "200ms"}, "dumb", "C");
  top.read_until("Sampling");
  EXPECT_THAT(top.read_until("Sampling"), AllOf(HasSubstr("gpu:1"), Not(HasSubstr("\x1b"))));
  top.signal(SIGTERM);
  EXPECT_EQ(top.code(), 130);
}

TEST_F(Top, FollowsTheTerminalsSize) {
  InTerminal top({"top", "--interval", "10s"}, "xterm");
  EXPECT_THAT(top.read_until("Quit"), Not(HasSubstr("peak")));
  top.resize(200, 60);  // at once, not at the next look
  EXPECT_THAT(top.read_until("peak"), HasSubstr("peak"));
  top.resize(10, 3);
  top.resize(80, 24);
  EXPECT_THAT(top.read_until("Quit"), HasSubstr("Quit"));
  top.press("q");
  EXPECT_EQ(top.code(), 0);
}

TEST_F(Top, CtrlCEndsIt) {
  InTerminal top({"top"}, "xterm");
  top.read_until("Quit");
  top.press("\x03");
  EXPECT_EQ(top.code(), 130);
}

TEST_F(Top, ReplaysWhatRecordWrote) {
  const std::string file = folder_ / "run.bscope";
  ASSERT_EQ(run({"record", "-o", file, "--duration", "2500ms", "--period", "100ms"}).code, 0);
  const Ended once = run({"replay", file, "--once", "--at", "2s"});
  ASSERT_EQ(once.code, 0) << once.errors;
  EXPECT_THAT(once.output, AllOf(HasSubstr("replay of run.bscope"), HasSubstr("gpu:1 NVIDIA H200"), HasSubstr("90 %"),
                                 HasSubstr("640 of 700 W"), HasSubstr("0:00:02"), HasSubstr("█")));
  const Ended late = run({"replay", file, "--once", "--at", "1h"});
  EXPECT_EQ(late.code, 2);
  EXPECT_THAT(late.errors, HasSubstr("only 2."));
  InTerminal replay({"replay", file, "--speed", "0.0625"}, "xterm");
  replay.read_until("Quit");
  replay.press(" ");
  EXPECT_THAT(replay.read_until("PAUSED"), HasSubstr("PAUSED"));
  replay.press("\x1bOC\x1bOC");  // right, twice
  replay.resize(81, 24);         // everything is drawn anew
  EXPECT_THAT(replay.read_until("0:00:02"), HasSubstr("0:00:02"));
  replay.press("q");
  EXPECT_EQ(replay.code(), 0);
}

}  // namespace
}  // namespace batchscope
