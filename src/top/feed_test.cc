// Looks at live counters, and recordings with their seeking.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "store/test_folder.h"
#include "top/live_feed.h"
#include "top/playback.h"
#include "top/recorded_feed.h"

namespace batchscope::top {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::DoubleNear;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;
using testing::SizeIs;
using testing::ThrowsMessage;

auto about(double value) { return Optional(DoubleNear(value, 1e-6 * (1 + value))); }

// ---- live

CounterSummary counter(const char* name, CounterKind kind, const char* unit = "bytes") {
  static std::int64_t next_number = 0;
  CounterSummary summary{.number = next_number++};
  summary.counter = {.name = name, .unit = unit, .device = "gpu:0 (GPU-1)", .kind = kind};
  return summary;
}

const Track& track(const LiveTracks& live, const char* name) {
  return *live.tracks().device("gpu:0 (GPU-1)")->find(name);
}

TEST(LiveTracks, FollowLookByLook) {
  std::vector<CounterSummary> counters{counter("gpu_pcie_tx_bytes_total", CounterKind::cumulative),
                                       counter("gpu_power_watts", CounterKind::window, "watts"),
                                       counter("gpu_energy_joules_total", CounterKind::cumulative, "joules")};
  LiveTracks live;
  for (int second = 1; second <= 5; ++second) {
    const Nanoseconds now = seconds(second);
    for (auto& one : counters) {
      one.add(100.0 * second, now - milliseconds(500));
      one.add(100.0 * second + 50, now);
    }
    live.add(counters, now);
  }
  EXPECT_THAT(track(live, "gpu_pcie_tx_bytes_total").now(seconds(5), seconds(1)), about(100));
  EXPECT_THAT(track(live, "gpu_power_watts").now(seconds(5), seconds(1)), about(525));  // the mean of both readings
  EXPECT_EQ(live.tracks().device("gpu:0 (GPU-1)")->find("gpu_energy_joules_total"), nullptr);  // nobody sees it
}

TEST(LiveTracks, UnknownIncreasesAndAbsencesAreKept) {
  std::vector<CounterSummary> counters{counter("gpu_pcie_tx_bytes_total", CounterKind::cumulative),
                                       counter("gpu_memory_used_bytes", CounterKind::gauge)};
  LiveTracks live;
  const auto look = [&](int second) { live.add(counters, seconds(second)); };
  for (auto& one : counters) one.add(1, seconds(1));
  look(1);
  counters[0].note_gap("it may have wrapped", 0, seconds(1));
  counters[0].add(1, seconds(2));
  counters[1].note_gap("the GPU is lost", 1, Nanoseconds(1));
  look(2);
  EXPECT_EQ(track(live, "gpu_pcie_tx_bytes_total").now(seconds(2), seconds(1)), std::nullopt);
  EXPECT_EQ(track(live, "gpu_memory_used_bytes").now(seconds(2), seconds(1)), std::nullopt);
  EXPECT_EQ(track(live, "gpu_memory_used_bytes").why_absent(seconds(2)), "the GPU is lost");
  counters[0].add(11, seconds(3));
  counters[1].add(7, seconds(3));
  look(3);
  EXPECT_THAT(track(live, "gpu_pcie_tx_bytes_total").now(seconds(3), seconds(1)), about(10));
  EXPECT_THAT(track(live, "gpu_memory_used_bytes").now(seconds(3), seconds(1)), about(7));
  look(4);  // nothing new: not absent, but only old
  EXPECT_THAT(track(live, "gpu_memory_used_bytes").now(seconds(4), seconds(1)), about(7));
  EXPECT_EQ(track(live, "gpu_memory_used_bytes").now(seconds(30), seconds(1)), std::nullopt);
}

TEST(LiveTracks, ThoseOfTheEndedAreNotTakenForOthers) {
  std::vector<CounterSummary> counters{counter("gpu_memory_used_bytes", CounterKind::gauge),
                                       counter("host_memory_used_bytes", CounterKind::gauge)};
  counters[0].add(1, seconds(1));
  counters[1].add(2, seconds(1));
  LiveTracks live;
  live.add(counters, seconds(1));
  counters.erase(counters.begin());  // forgotten
  counters[0].add(3, seconds(2));
  live.add(counters, seconds(2));
  EXPECT_THAT(track(live, "gpu_memory_used_bytes").now(seconds(2), seconds(1)), about(1));
  EXPECT_THAT(track(live, "host_memory_used_bytes").now(seconds(2), seconds(1)), about(3));
}

VirtualDevice device(const char* name, pid_t pid, const char* phase = "") {
  VirtualDevice device{.name = name, .pid = pid};
  if (*phase != '\0') device.phase = {.name = phase, .detail = "2 sequences", .begin = seconds(5)};
  return device;
}

TEST(RunningPhases, NameTheProcessWhereThereAreSeveral) {
  const auto alone = running_phases({device("cpu:0", 42, "decode"), device("cpu:1", 42)}, seconds(7));
  ASSERT_THAT(alone, SizeIs(1));
  EXPECT_EQ(alone[0].track, "cpu:0");
  EXPECT_EQ(alone[0].name, "decode");
  EXPECT_EQ(alone[0].detail, "2 sequences");
  EXPECT_EQ(alone[0].since, seconds(2));
  // Also where one of them does nothing: its devices are on the screen, too.
  const auto beside = running_phases(
      {device("cpu:0", 1000), device("cpu:2", 999, "batch"), device("cpu:10", 999, "batch")}, seconds(4));
  ASSERT_THAT(beside, SizeIs(2));
  EXPECT_EQ(beside[0].track, "cpu:2 (pid 999)");
  EXPECT_EQ(beside[1].track, "cpu:10 (pid 999)");
  EXPECT_EQ(beside[1].since, seconds(0));  // it began after the look
  EXPECT_THAT(running_phases({}, seconds(1)), IsEmpty());
}

// ---- playback

TEST(Playback, GoesAtItsSpeedAndStaysWithin) {
  Playback playback(seconds(100), 4);
  playback.advance(seconds(2));
  EXPECT_EQ(playback.position(), seconds(8));
  playback.seek(seconds(-10));
  EXPECT_EQ(playback.position(), seconds(0));
  playback.go_to(hours(1));
  EXPECT_EQ(playback.position(), seconds(100));
  for (int i = 0; i < 20; ++i) playback.faster();
  EXPECT_EQ(playback.speed(), Playback::most_speed);
  for (int i = 0; i < 20; ++i) playback.slower();
  EXPECT_EQ(playback.speed(), Playback::least_speed);
}

// ---- recorded

// Ten minutes of two counters, ten times a second: bytes that grow by 10 × the second in each second; memory that is
// the second. From 200 s to 220 s nothing was read.
class Recorded : public testing::Test {
 protected:
  static constexpr int length = 600;
  static constexpr std::int64_t zero = 1'000'000'000'000;  // monotonic, ns

  Recorded() : file_(folder_ / "run.bscope") {
    StoreWriter store(file_, OpenMode::create);
    empty_ = store.begin_session("report");
    session_ = store.begin_session("record");
    store.set_environment(session_, {{"host", "node7"}, {"gpu:0", "NVIDIA H200, GPU-1, 0"}});
    const SeriesRecord base{.session = session_, .unit = "bytes", .device = "gpu:0 (GPU-1)", .source = "s"};
    SeriesRecord bytes = base, memory = base, energy = base;
    bytes.name = "gpu_pcie_tx_bytes_total";
    bytes.kind = "cumulative";
    memory.name = "gpu_memory_used_bytes";
    memory.kind = "gauge";
    energy.name = "gpu_energy_joules_total";
    energy.kind = "cumulative";
    const std::int64_t bytes_id = store.add_series(bytes), memory_id = store.add_series(memory);
    store.add_series(energy);
    SampleBlock block{.columns = {{.series = bytes_id}, {.series = memory_id}}};
    std::int64_t total = 0;
    for (int tick = 0; tick < 10 * length; ++tick) {
      const int second = tick / 10;
      if (second >= 200 && second < 220) continue;
      block.before.push_back(at(tick / 10.0));
      block.after.push_back(at(tick / 10.0));
      block.columns[0].integers.push_back(total);
      block.columns[1].integers.push_back(second);
      total += second;
    }
    const GapRecord gap{.begin = at(200), .end = at(219.9), .ticks = 200, .reason = "the GPU is lost"};
    std::vector<GapRecord> gaps{gap, gap};
    gaps[0].series = bytes_id;
    gaps[1].series = memory_id;
    store.append_samples({&block, 1}, gaps);
    const std::vector<Phase> phases{{.name = "eval", .track = "rank 0", .begin = at(10), .end = at(100)},
                                    {.name = "batch", .track = "rank 0", .begin = at(20), .end = at(30)}};
    store.add_phases(session_, phases);
    const SamplerRecord sampler{.session = session_, .source = "s", .missed = 3, .cpu_share = 0.01};
    store.append_samples({}, {}, {&sampler, 1});
  }

  static Nanoseconds at(double second) { return Nanoseconds(zero) + from_seconds(second); }

  Screen screen(const RecordedFeed& feed) const { return make_screen(feed.observation(), 40); }

  TestFolder folder_;
  std::filesystem::path file_;
  std::int64_t session_ = 0, empty_ = 0;
};

TEST_F(Recorded, ShowsTheMomentItIsAt) {
  RecordedFeed feed(file_, {.at = milliseconds(100'500)});
  const Screen now = screen(feed);
  ASSERT_THAT(now.boards, SizeIs(1));
  EXPECT_EQ(now.boards[0].name, "NVIDIA H200");
  EXPECT_THAT(now.boards[0].memory_used.now, about(100));
  EXPECT_THAT(now.boards[0].links[0].tx.now, Optional(DoubleNear(995, 6)));  // of the second before
  EXPECT_THAT(now.boards[0].links[0].tx.history, SizeIs(40));
  EXPECT_THAT(now.boards[0].links[0].tx.history[0], Optional(DoubleNear(600, 6)));
  EXPECT_EQ(now.sampling.missed, 3);
  EXPECT_THAT(now.sampling.cpu_share, about(0.01));
  const Caption caption = feed.caption();
  EXPECT_EQ(caption.bar->position, milliseconds(100'500));
  EXPECT_EQ(caption.bar->length, milliseconds(599'900));
  EXPECT_THAT(caption.title, HasSubstr("run.bscope"));
}

TEST_F(Recorded, SeeksForthAndBackToTheSameScreen) {
  RecordedFeed feed(file_, {.at = milliseconds(500)});
  const auto memory = [&] { return screen(feed).boards.at(0).memory_used.now; };
  EXPECT_THAT(memory(), about(0));
  const auto press = [&](Key key) { ASSERT_TRUE(feed.handle(key)); };
  for (int i = 0; i < 3; ++i) press({Key::right});
  EXPECT_THAT(memory(), about(3));
  press({Key::shift_right});
  EXPECT_THAT(memory(), about(13));
  press({Key::left});
  EXPECT_THAT(memory(), about(12));
  press({Key::end});
  EXPECT_THAT(memory(), about(599));
  EXPECT_THAT(screen(feed).boards[0].links[0].tx.history[0], Optional(DoubleNear(5600, 20)));
  press({Key::home});
  EXPECT_THAT(memory(), about(0));
  press({Key::character, ']'});
  press({Key::character, '.'});
  press({Key::character, ','});
  press({Key::character, '['});
  press({Key::left});
  EXPECT_EQ(feed.caption().bar->position, seconds(0));
  EXPECT_FALSE(feed.handle({Key::character, 'x'}));
}

TEST_F(Recorded, FarJumpsLeaveNoBridges) {
  RecordedFeed feed(file_, {});
  // Pages of the begin are at hand; those between are not.
  ASSERT_TRUE(feed.handle({Key::end}));
  const Screen far = make_screen(feed.observation(), 300);
  for (const auto& value : far.boards.at(0).links.at(0).tx.history) EXPECT_GT(value.value_or(5000), 2900);
}

TEST_F(Recorded, AGapIsBlankAndSaysWhy) {
  RecordedFeed feed(file_, {.at = milliseconds(210'500)});
  const Screen lost = screen(feed);
  EXPECT_EQ(lost.boards[0].trouble, "the GPU is lost");
  EXPECT_EQ(lost.boards[0].memory_used.history.back(), std::nullopt);
  for (int i = 0; i < 2; ++i) feed.handle({Key::shift_right});
  const Screen again = screen(feed);
  EXPECT_EQ(again.boards[0].trouble, "");
  EXPECT_THAT(again.boards[0].memory_used.now, about(230));
  EXPECT_EQ(again.boards[0].links[0].tx.history[40 - 20], std::nullopt);
}

TEST_F(Recorded, PhasesAreTheInnermostOfTheirTrack) {
  const auto phase_at = [&](int second) {
    RecordedFeed feed(file_, {.at = seconds(second)});
    const auto phases = feed.observation().phases;
    return phases.empty() ? "" : phases[0].name;
  };
  EXPECT_EQ(phase_at(5), "");
  EXPECT_EQ(phase_at(15), "eval");
  EXPECT_EQ(phase_at(25), "batch");
  EXPECT_EQ(phase_at(35), "eval");
}

TEST_F(Recorded, PausesAndChangesItsSpeed) {
  RecordedFeed feed(file_, {.speed = 256});
  EXPECT_TRUE(feed.update(true));  // the first is always new
  EXPECT_FALSE(feed.update(true));
  const Nanoseconds later = monotonic_clock().now() + milliseconds(20);
  monotonic_clock().sleep_until(later);
  EXPECT_TRUE(feed.update(false));
  EXPECT_GE(feed.caption().bar->position, milliseconds(256 * 20));
  feed.handle({Key::character, '-'});
  EXPECT_EQ(feed.caption().bar->speed, 128);
  feed.handle({Key::end});
  EXPECT_FALSE(feed.update(false));  // nothing comes any more
}

TEST_F(Recorded, SaysWhatIsWrong) {
  const auto open = [&](const ReplayOptions& options) { RecordedFeed feed(file_, options); };
  EXPECT_THAT([&] { open({.session = 7}); },
              ThrowsMessage<InputError>(AllOf(HasSubstr("--session 7"), HasSubstr("2 (record)"))));
  EXPECT_THAT([&] { open({.session = empty_}); }, ThrowsMessage<InputError>(HasSubstr("no counters")));
  EXPECT_THAT([&] { open({.at = hours(1)}); }, ThrowsMessage<InputError>(HasSubstr("only 599.9 s long")));
  const auto bare = folder_ / "bare.bscope";
  { StoreWriter(bare, OpenMode::create).begin_session("eval"); }
  EXPECT_THAT([&] { RecordedFeed(bare, {}); }, ThrowsMessage<InputError>(HasSubstr("record -o")));
}

}  // namespace
}  // namespace batchscope::top
