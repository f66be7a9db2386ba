// NVML's sources against the fake, in simulated time: totals are what went over the links, nothing is invented.
#include "telemetry/sources/nvml.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "base/procfs.h"
#include "store/test_folder.h"
#include "telemetry/simulated_recording.h"
#include "telemetry/sources/gpm_traffic.h"
#include "telemetry/sources/paper.h"

namespace batchscope {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Nanoseconds sixth{166'666'667};

SimulatedRecording recording_of(const std::string& scenario, Nanoseconds asked = sixth) {
  return SimulatedRecording(BATCHSCOPE_FAKE_NVML, scenario, asked);
}

// Full speed one way, a little the other.
const std::string busy_links = R"({"gpus": [{"repeat": true, "load": [{"seconds": 10,
  "pcie_rx_bytes_per_s": 55e9, "pcie_tx_bytes_per_s": 1e9,
  "nvlink_tx_bytes_per_s": 300e9, "nvlink_rx_bytes_per_s": 200e9, "power_w": 500}]}]})";

TEST(NvmlSources, PcieBytesAreExactOverManyWraps) {
  auto recording = recording_of(busy_links);
  recording.run_until(minutes(10));
  const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
  ASSERT_NE(rx, nullptr);
  EXPECT_TRUE(rx->total_is_complete());
  EXPECT_NEAR(*rx->total(), 55e9 * to_seconds(rx->end - rx->begin), 1e-6 * *rx->total());
  EXPECT_GT(*rx->total(), 32e12);  // 7500 wraps
  EXPECT_EQ(rx->absent, 0);
}

TEST(NvmlSources, PcieBytesThatDoNotWrapAreReadAsOftenAsAsked) {
  auto recording = recording_of(R"({"gpus": [{"pcie_modulus_bits": 64, "load": [{"pcie_rx_bytes_per_s": 55e9}]}]})");
  recording.run_until(seconds(20));
  std::int64_t readings = 0;
  double total = 0;
  for (const CounterSummary& s : recording.summaries())
    if (s.counter.name == "gpu_pcie_rx_bytes_total" && !s.counter.modulus) {
      readings = s.count;
      total = *s.total() / to_seconds(s.end - s.begin);
    }
  EXPECT_GT(readings, 50);  // the counter passes 2^32 soon after the begin, and is known from then on
  EXPECT_NEAR(total, 55e9, 1e5);
}

TEST(NvmlSources, AStopThatCouldHideAWrapLeavesTheIncreaseOut) {
  auto recording = recording_of(busy_links);
  recording.run_until(seconds(5));
  recording.clock().sleep_until(seconds(15));  // as SIGSTOP does
  recording.run_until(seconds(20));
  const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
  EXPECT_FALSE(rx->total_is_complete());
  ASSERT_EQ(rx->gaps.size(), 1U);
  EXPECT_LE(rx->gaps[0].times, 2);  // what was not shown when it began, and itself
  EXPECT_LT(rx->gaps[0].time, seconds(10) + milliseconds(800));
  EXPECT_NEAR(*rx->total(), 55e9 * to_seconds(rx->end - rx->begin - rx->gaps[0].time), 1e8);
  // What does not wrap is complete all the same.
  const CounterSummary* nvlink = recording.find("gpu_nvlink_tx_bytes_total");
  EXPECT_TRUE(nvlink->total_is_complete());
  EXPECT_NEAR(*nvlink->total(), 300e9 * to_seconds(nvlink->end - nvlink->begin), 1e6);  // stamps are whole us
}

// A gap in readings, at 5 s, under these loads one after another.
CounterSummary rx_over_a_gap(const std::string& loads, Nanoseconds gap, Nanoseconds asked) {
  auto recording = recording_of(R"({"gpus": [{"load": [)" + loads + "]}]}", asked);
  recording.run_until(seconds(5));
  recording.clock().sleep_until(seconds(5) + gap);
  recording.run_until(seconds(9) + gap);
  return *recording.find("gpu_pcie_rx_bytes_total");
}

TEST(NvmlSources, GpmTellsWhetherAGapHidesAWrap) {
  for (const Nanoseconds asked : {sixth, Nanoseconds(milliseconds(20))}) {
    const CounterSummary quiet = rx_over_a_gap(R"({"pcie_rx_bytes_per_s": 2e9})", milliseconds(150), asked);
    EXPECT_TRUE(quiet.total_is_complete());
    EXPECT_NEAR(*quiet.total(), 2e9 * to_seconds(quiet.end - quiet.begin), 1e6);
    EXPECT_EQ(quiet.absent, 0);
    const CounterSummary busy = rx_over_a_gap(R"({"pcie_rx_bytes_per_s": 50e9})", milliseconds(150), asked);
    EXPECT_TRUE(busy.total_is_complete());
    EXPECT_NEAR(*busy.total(), 50e9 * to_seconds(busy.end - busy.begin), 1e6);
    // Bytes that went before and after are none of the gap's.
    const CounterSummary beside = rx_over_a_gap(
        R"({"seconds": 4.7, "pcie_rx_bytes_per_s": 50e9}, {"seconds": 0.6}, {"pcie_rx_bytes_per_s": 50e9})",
        milliseconds(150), asked);
    EXPECT_TRUE(beside.total_is_complete());
    // Of 200 GB it says too little about which of several wraps it was.
    const CounterSummary long_and_busy = rx_over_a_gap(R"({"pcie_rx_bytes_per_s": 50e9})", seconds(4), asked);
    EXPECT_FALSE(long_and_busy.total_is_complete());
    EXPECT_LT(*long_and_busy.total(), 50e9 * to_seconds(long_and_busy.end - long_and_busy.begin) - 190e9);
  }
}

TEST(NvmlSources, RowsThatWereKeptBackAreGivenAtTheEndToo) {
  for (const Nanoseconds asked : {sixth, Nanoseconds(milliseconds(20))}) {
    auto recording = recording_of(R"({"gpus": [{"load": [{"pcie_rx_bytes_per_s": 20e9}]}]})", asked);
    recording.run_until(seconds(5));
    recording.clock().sleep_until(seconds(5) + milliseconds(150));
    recording.read_all();
    const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
    EXPECT_TRUE(rx->total_is_complete());
    EXPECT_GE(rx->end, seconds(5) + milliseconds(150));
    EXPECT_NEAR(*rx->total(), 20e9 * to_seconds(rx->end - rx->begin), 1e6);
  }
}

RC_GTEST_PROP(GpmTraffic, NumbersAreFoundByTheirResidue, ()) {
  const auto low = *rc::gen::inRange<std::int64_t>(-50, 1000), length = *rc::gen::inRange<std::int64_t>(-20, 250),
             residue = *rc::gen::inRange<std::int64_t>(0, 100);
  const Numbers found =
      numbers_in({.low = static_cast<double>(low), .high = static_cast<double>(low + length)}, residue, 100);
  std::vector<std::int64_t> numbers;
  for (std::int64_t number = residue; number <= low + length; number += 100)
    if (number >= low) numbers.push_back(number);
  RC_ASSERT(found.count == std::min<int>(2, static_cast<int>(numbers.size())));
  if (!numbers.empty()) RC_ASSERT(found.first == numbers[0]);
}

// Loads of random length and speed, and what went until a time.
struct Bursts {
  struct Burst {
    double seconds, rx, tx;
  };
  std::vector<Burst> bursts{};

  Bursts() = default;
  explicit Bursts(std::uint32_t seed) {
    std::mt19937 random(seed);
    const auto any = [&](double most) { return most * static_cast<double>(random()) / 4294967296.0; };
    double time = 0;
    while (time < 20) {
      const double way = any(3);  // in, out, both
      bursts.push_back({.seconds = std::round(1e3 * (random() % 4 == 0 ? any(1) : any(0.12)) + 1) * 1e-3,
                        .rx = way < 2 ? std::round(any(57e9)) : 0,
                        .tx = way > 1 ? std::round(any(57e9)) : 0});
      time += bursts.back().seconds;
      bursts.push_back({.seconds = std::round(1e3 * any(0.2) + 1) * 1e-3, .rx = 0, .tx = 0});
      time += bursts.back().seconds;
    }
  }
  void add(double seconds, double rx, double tx) { bursts.push_back({.seconds = seconds, .rx = rx, .tx = tx}); }
  double seconds() const {
    return std::accumulate(bursts.begin(), bursts.end(), 0.0,
                           [](double sum, const Burst& burst) { return sum + burst.seconds; });
  }
  std::string load() const {
    std::string text;
    for (const Burst& burst : bursts)
      text += fmt::format(R"({}{{"seconds": {:.6f}, "pcie_rx_bytes_per_s": {:.0f}, "pcie_tx_bytes_per_s": {:.0f}}})",
                          text.empty() ? "" : ", ", burst.seconds, burst.rx, burst.tx);
    return text;
  }
  double rx_until(Nanoseconds end) const {
    double bytes = 0, time = 0;
    for (const Burst& burst : bursts) {
      bytes += burst.rx * std::clamp(to_seconds(end) - time, 0.0, burst.seconds);
      time += burst.seconds;
    }
    return bytes;
  }
};

// What was received is not more than what went (`rx_until` a time, of the load), and all of it where the total is
// complete. Returns whether it is.
template <class RxUntil>
bool is_right_and_complete(const CounterSummary& rx, const RxUntil& rx_until, const std::string& of) {
  constexpr double tolerance = 57e9 * 0.002;
  const double truth = rx_until(rx.end) - rx_until(rx.begin);
  EXPECT_LT(*rx.total(), truth + tolerance) << of;
  if (!rx.total_is_complete()) return false;
  EXPECT_NEAR(*rx.total(), truth, tolerance) << of;
  return true;
}

TEST(NvmlSources, PcieBytesOfAnyBurstsAreExact) {
  int count = 0, complete = 0;
  for (const int lag_ms : {11, 71, 112})
    for (std::uint32_t seed = 1; seed <= 12; ++seed) {
      const Bursts bursts(seed);
      auto recording = recording_of(fmt::format(
          R"({{"gpus": [{{"gpm_pcie_ratio": {}, "gpm_samples": {{"lag_ms": {}, "refresh_ms": {}}}, "load": [{{"seconds": 2}}, {}]}}]}})",
          seed % 3 == 0 ? 0.975 : 1, lag_ms, seed % 3 == 1 ? 100.01 : 100, bursts.load()));
      recording.run_until(seconds(20));
      recording.read_all();
      const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
      const auto until = [&](Nanoseconds end) { return bursts.rx_until(end - seconds(2)); };
      ++count;
      complete += is_right_and_complete(*rx, until, fmt::format("{} {}", lag_ms, seed));
    }
  EXPECT_EQ(complete, count);
}

// Copies without a pause whose speed is that of the host's memory, which others use too (as two GPUs were seen to):
// about as much goes all the time, now a tenth more, now a tenth less. Calls of others hold the driver up, and once
// GPM's refreshes move.
TEST(NvmlSources, PcieBytesOfALoadThatWaversAreExactThoughCallsAreHeldUp) {
  int count = 0, complete = 0;
  for (const int lag_ms : {13, 39, 71, 100})
    for (int seed = 0; seed < 4; ++seed) {
      std::mt19937 random(static_cast<std::uint32_t>(++count));
      std::normal_distribution<double> change(0, 1);
      Bursts copies;
      for (double rest = 0; copies.seconds() < 41;) {
        rest = 0.7 * rest + 0.71 * change(random);
        const double share = 1 + 0.05 * std::clamp(rest, -3.0, 3.0);
        copies.add(0.05, std::round(36e9 * share), std::round(40e9 * share));
      }
      std::string faults;
      for (double time = 1; time < 40; time += 0.05 + 0.2 * static_cast<double>(random()) / 4294967296.0)
        faults += fmt::format(R"({}{{"kind": "hang", "from_s": {:.4f}, "until_s": {:.4f}}})",
                              faults.empty() ? "" : ", ", time, time + (random() % 2 == 0 ? 0.013 : 0.0035));
      auto recording =
          recording_of(fmt::format(R"({{"gpus": [{{"gpm_jumps": [{{"at_s": {}, "by_ms": {}}}],
            "gpm_samples": {{"lag_ms": {}}}, "load": [{}]}}], "faults": [{}]}})",
                                   12 + 0.13 * (count % 10), count * 29 % 100, lag_ms, copies.load(), faults));
      recording.be_late();
      recording.run_until(seconds(40));
      recording.read_all();
      const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
      const auto until = [&](Nanoseconds end) { return copies.rx_until(end); };
      complete += is_right_and_complete(*rx, until, std::to_string(count));
    }
  EXPECT_EQ(complete, count);
}

// Every two seconds or so the driver holds calls up for longer than the counters take to wrap.
std::string long_stops(std::mt19937& random, double until_s) {
  const auto any = [&](double least, double most) {
    return least + (most - least) * static_cast<double>(random()) / 4294967296.0;
  };
  std::string faults;
  for (double time = any(3, 5); time < until_s; time += any(1.5, 3))
    faults += fmt::format(R"({}{{"kind": "hang", "from_s": {:.4f}, "until_s": {:.4f}}})", faults.empty() ? "" : ", ",
                          time, time + any(0.08, 0.16));
  return faults;
}

// Copies of 5 to 15 ms with pauses of up to 30 ms in between, at speeds that change: GPM tells what went in most of the
// times in which calls were held up, and where it does not, the total is a lower bound; it is never wrong.
TEST(NvmlSources, PcieBytesOfUnsteadyLoadsAreNotWrongThoughCallsAreHeldUp) {
  int count = 0, complete = 0;
  double counted = 0, went = 0;
  for (const int lag_ms : {13, 71})
    for (const double longest_pause_ms : {1.0, 5.0, 30.0})
      for (const double slowest : {48e9, 35e9, 5e9}) {
        std::mt19937 random(static_cast<std::uint32_t>(++count));
        const auto any = [&](double least, double most) {
          return std::round(least + (most - least) * static_cast<double>(random()) / 4294967296.0);
        };
        Bursts copies;
        double rx = 0;
        for (double time = 0, other_at = 0; time < 20; time = copies.seconds()) {
          if (time >= other_at) {
            rx = any(slowest, 52e9);
            other_at = time + 1e-3 * any(100, 1500);
          }
          copies.add(1e-6 * any(5000, 15000), rx, 50e9);
          copies.add(1e-6 * any(1, 1000 * longest_pause_ms), 0, 0);
        }
        auto recording = recording_of(
            fmt::format(R"({{"gpus": [{{"gpm_samples": {{"lag_ms": {}}}, "load": [{}]}}], "faults": [{}]}})", lag_ms,
                        copies.load(), long_stops(random, 19)));
        recording.run_until(seconds(19));
        recording.read_all();
        const CounterSummary* received = recording.find("gpu_pcie_rx_bytes_total");
        const auto until = [&](Nanoseconds end) { return copies.rx_until(end); };
        complete += is_right_and_complete(*received, until, std::to_string(count));
        counted += *received->total();
        went += until(received->end) - until(received->begin);
      }
  EXPECT_GT(complete, 0);
  EXPECT_GT(counted, 0.98 * went);  // of which 5 % went while calls were held up
}

// Lags that are not believed possible.
TEST(NvmlSources, PcieBytesAreNotWrongWhereGpmIsLaterOrSoonerThanBelieved) {
  for (const char* lag_ms : {"0", "125", "140"})
    for (std::uint32_t seed = 1; seed <= 20; ++seed) {
      const Bursts bursts(seed);
      std::mt19937 random(seed);
      auto recording =
          recording_of(fmt::format(R"({{"gpus": [{{"gpm_samples": {{"lag_ms": {}}}, "load": [{}]}}], "faults": [{}]}})",
                                   lag_ms, bursts.load(), long_stops(random, 19)));
      recording.run_until(seconds(19));
      recording.read_all();
      const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
      const auto until = [&](Nanoseconds end) { return bursts.rx_until(end); };
      is_right_and_complete(*rx, until, fmt::format("{} {}", lag_ms, seed));
      EXPECT_GT(*rx->total(), (until(rx->end) - until(rx->begin)) * 0.8) << lag_ms << " " << seed;
    }
}

// As a program starts CUDA, pins memory and copies at once.
TEST(NvmlSources, PcieBytesAreExactThoughTheDriverHoldsCallsUp) {
  int complete = 0;
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    const Bursts bursts(seed);
    const double first = 3 + 0.013 * seed, second = first + 0.43;
    auto recording = recording_of(fmt::format(
        R"({{"gpus": [{{"load": [{{"seconds": {:.3f}}}, {}]}}], "faults": [
          {{"kind": "hang", "from_s": {:.3f}, "until_s": {:.3f}}}, {{"kind": "hang", "from_s": {:.3f}, "until_s": {:.3f}}}]}})",
        second + 0.17, bursts.load(), first, first + 0.25, second, second + 0.16));
    recording.run_until(seconds(12));
    recording.read_all();
    const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
    const auto until = [&](Nanoseconds end) { return bursts.rx_until(end - from_seconds(second + 0.17)); };
    complete += is_right_and_complete(*rx, until, std::to_string(seed));
  }
  EXPECT_GE(complete, 38);  // where a burst follows a stop at once, all of it may be unknown
}

// When a program starts CUDA, GPM's refreshes move, though no call may have been held up: what it copies at once is
// exact all the same.
TEST(NvmlSources, PcieBytesAreExactThoughGpmsRefreshesJump) {
  int complete = 0, count = 0;
  for (const int by_ms : {13, 37, 60, 87})
    for (std::uint32_t seed = 1; seed <= 20; ++seed) {
      const Bursts bursts(seed);
      const double start = 3 + 0.017 * seed;
      auto recording = recording_of(fmt::format(
          R"({{"gpus": [{{"gpm_jumps": [{{"at_s": {:.3f}, "by_ms": {}}}], "load": [{{"seconds": {:.3f}}}, {}]}}]}})",
          start, by_ms, start + 0.2, bursts.load()));
      recording.run_until(seconds(12));
      recording.read_all();
      const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
      const auto until = [&](Nanoseconds end) { return bursts.rx_until(end - from_seconds(start + 0.2)); };
      ++count;
      complete += is_right_and_complete(*rx, until, fmt::format("{} {}", by_ms, seed));
    }
  EXPECT_EQ(complete, count);
}

// A refresh that is not quite a tenth of a second wanders: it is followed, so that GPM can tell of a gap an hour later.
TEST(NvmlSources, RefreshesOfGpmAreFollowed) {
  for (const char* refresh : {"99.99", "100.015"}) {
    auto recording = recording_of(R"({"gpus": [{"gpm_samples": {"refresh_ms": )" + std::string(refresh) +
                                  R"(}, "load": [{"pcie_rx_bytes_per_s": 50e9}]}]})");
    recording.run_until(minutes(20));
    recording.clock().sleep_until(minutes(20) + milliseconds(150));
    recording.run_until(minutes(20) + seconds(5));
    const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
    EXPECT_TRUE(rx->total_is_complete()) << refresh;
    EXPECT_NEAR(*rx->total(), 50e9 * to_seconds(rx->end - rx->begin), 1e6) << refresh;
  }
}

TEST(NvmlSources, PcieBytesAreExactWithoutGpm) {
  auto recording = recording_of(R"({"gpus": [{"load": [{"pcie_rx_bytes_per_s": 55e9}]}],
    "faults": [{"kind": "answer", "calls": ["nvmlGpmSampleGet"], "from_s": 10, "result": "no_permission"}]})");
  recording.run_until(seconds(20));
  const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
  EXPECT_TRUE(rx->total_is_complete());
  EXPECT_NEAR(*rx->total(), 55e9 * to_seconds(rx->end - rx->begin), 1e6);
}

// The counter shows 2.7 GB more than 90 ms before, when nobody read it: a wrap on top of that is more than the link carries.
TEST(NvmlSources, WhatTheLinkCannotCarryIsNoWrapThatHides) {
  for (const auto& [rate, is_complete] : {std::pair(30e9, true), std::pair(5e9, false)}) {
    auto recording = recording_of(R"({"gpus": [{"load": [{"pcie_rx_bytes_per_s": )" + std::to_string(rate) + R"(}]}],
      "faults": [{"kind": "answer", "calls": ["nvmlGpmSampleGet"], "from_s": 4, "result": "no_permission"}]})");
    recording.run_until(seconds(6));
    recording.clock().sleep_until(seconds(6) + milliseconds(60));
    recording.run_until(seconds(8));
    const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
    EXPECT_EQ(rx->total_is_complete(), is_complete) << rate;
    if (is_complete) {
      EXPECT_NEAR(*rx->total(), rate * to_seconds(rx->end - rx->begin), 1e6);
    }
  }
}

TEST(NvmlSources, NvlinkBytesOfBothKindsOfChip) {
  for (const char* counters : {"total", "per_link"}) {
    auto recording = recording_of(std::string(R"({"gpus": [{"nvlink_counters": ")") + counters +
                                  R"(", "load": [{"nvlink_tx_bytes_per_s": 18e9, "nvlink_rx_bytes_per_s": 9e9}]}]})");
    recording.run_until(seconds(10));
    recording.read_all();
    for (const auto& [name, rate] :
         {std::pair("gpu_nvlink_tx_bytes_total", 18e9), {"gpu_nvlink_rx_bytes_total", 9e9}}) {
      const CounterSummary* s = recording.find(name);
      ASSERT_NE(s, nullptr) << counters;
      EXPECT_NEAR(*s->total(), rate * to_seconds(s->end - s->begin), 5e-4 * *s->total()) << counters << name;
    }
    EXPECT_EQ(recording.find("gpu_nvlink_raw_tx_bytes_total") != nullptr, std::string(counters) == "total");
  }
}

TEST(NvmlSources, WithoutNvlinkNothingIsSaidOfIt) {
  auto recording = recording_of(R"({"gpus": [{"nvlinks": 0, "nvlink_counters": "none"}]})");
  recording.run_until(seconds(2));
  EXPECT_EQ(recording.find("gpu_nvlink_tx_bytes_total"), nullptr);
  EXPECT_EQ(recording.find("gpu_nvlink_tx_bytes_per_second"), nullptr);
  EXPECT_NE(recording.find("gpu_pcie_tx_bytes_per_second"), nullptr);
}

// Every sample of the rings once, none twice, at the instants that the driver stamped.
TEST(NvmlSources, RingsGiveEachSampleOnce) {
  const TestFolder folder;
  {
    StoreWriter writer(folder / "r.bscope", OpenMode::create);
    SimulatedRecording recording(BATCHSCOPE_FAKE_NVML, busy_links, sixth, &writer, writer.begin_session("record"));
    recording.run_until(seconds(61));
  }
  const StoreReader reader(folder / "r.bscope");
  for (const auto& [name, period] :
       {std::pair("gpu_power_watts", milliseconds(20)), {"gpu_utilization_ratio", milliseconds(200)}}) {
    bool found = false;
    for (const SeriesRecord& series : reader.series()) {
      if (series.name != name) continue;
      found = true;
      const SampleSeries samples = reader.samples(series);
      const auto count = static_cast<std::int64_t>(samples.size());
      EXPECT_NEAR(static_cast<double>(count), static_cast<double>(seconds(60) / period), seconds(2) / period) << name;
      for (std::size_t i = 1; i < samples.size(); ++i)
        ASSERT_EQ(samples.before[i] - samples.before[i - 1], period) << name << " " << i;
    }
    EXPECT_TRUE(found) << name;
  }
}

TEST(NvmlSources, AWallClockThatIsSetBackLosesNoMoreThanASecondOfSamples) {
  auto recording = recording_of(busy_links);
  recording.run_until(seconds(20));
  recording.clock().set_wall_offset(std::chrono::hours(24 * 365 * 50 - 1));
  recording.run_until(seconds(40));
  const CounterSummary* power = recording.find("gpu_power_watts");
  EXPECT_GT(power->count, 39 * 50 - 150);
  EXPECT_LE(power->count, 39 * 50 + 1);
  EXPECT_GT(power->end, seconds(38));
  EXPECT_LE(power->end, seconds(40));
}

TEST(NvmlSources, WhatRefreshesSlowlyIsNotRepeated) {
  auto recording = recording_of(R"({"gpus": [{"energy": {"refresh_ms": 3000}, "load": [{"power_w": 100}]}]})");
  recording.run_until(seconds(31));
  const CounterSummary* energy = recording.find("gpu_energy_joules_total");
  // A reading a second, and no value twice within one.
  EXPECT_LE(energy->count, 31);
  EXPECT_NEAR(*energy->total(), 3000, 320);
}

TEST(NvmlSources, AGpuThatFallsOffTheBusIsAbsentFromThenOn) {
  auto recording = recording_of(R"({"gpus": 2, "faults": [{"kind": "lost", "gpu": 1, "from_s": 10}]})");
  recording.run_until(seconds(20));
  const CounterSummary* lost = recording.find("gpu_memory_used_bytes", 1);
  EXPECT_GT(lost->count, 50);
  ASSERT_NE(lost->absent_now, nullptr);
  EXPECT_THAT(lost->absent_now, testing::HasSubstr("fell off the bus"));
  EXPECT_LT(lost->end, seconds(11));
  const CounterSummary* other = recording.find("gpu_memory_used_bytes", 0);
  EXPECT_EQ(other->absent_now, nullptr);
  EXPECT_EQ(other->absent, 0);
}

TEST(NvmlSources, RefusedCountersSayWhyAndOthersGoOn) {
  auto recording = recording_of(R"({"gpus": 1, "faults": [
    {"kind": "answer", "calls": [197, 198], "result": "no_permission"},
    {"kind": "answer", "calls": ["nvmlDeviceGetTotalEnergyConsumption"], "result": "not_supported"}]})");
  recording.run_until(seconds(5));
  const CounterSummary* pcie = recording.find("gpu_pcie_tx_bytes_total");
  EXPECT_EQ(pcie->count, 0);
  EXPECT_EQ(pcie->total(), std::nullopt);
  EXPECT_THAT(pcie->absent_now, testing::HasSubstr("permission refused"));
  EXPECT_EQ(recording.find("gpu_energy_joules_total")->count, 0);
  EXPECT_GT(recording.find("gpu_power_watts")->count, 100);
}

TEST(NvmlSources, AnOldDriverHasFewerCountersButThoseItHas) {
  auto recording = recording_of(R"({"gpus": 1, "faults": [{"kind": "answer", "result": "function_not_found", "calls":
    ["nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetSamples", "nvmlDeviceGetCurrentClocksEventReasons",
     "nvmlGpmQueryDeviceSupport", "nvmlDeviceGetComputeRunningProcesses_v3"]}]})");
  recording.run_until(seconds(5));
  EXPECT_GT(recording.find("gpu_memory_used_bytes")->count, 20);
  EXPECT_EQ(recording.find("gpu_memory_reserved_bytes")->count, 0);
  EXPECT_GT(recording.find("gpu_utilization_ratio")->count, 2);  // polled, since there is no ring
  EXPECT_GT(recording.find("gpu_power_watts")->count, 2);
  EXPECT_GT(recording.find("gpu_clocks_power_capped_ratio")->count, 20);
  EXPECT_EQ(recording.find("gpu_sm_active_ratio"), nullptr);
}

TEST(NvmlSources, AnXidJustBeforeAGpuIsLostSaysWhy) {
  auto recording = recording_of(R"({"gpus": 1, "faults": [{"kind": "xid", "xid": 79, "from_s": 5.1},
    {"kind": "lost", "gpu": 0, "from_s": 5.2}]})");
  recording.run_until(seconds(8));
  EXPECT_EQ(recording.find("gpu_xid_errors_total")->total(), 1);
  EXPECT_EQ(recording.find("gpu_last_xid")->last, 79);
  EXPECT_GT(recording.find("gpu_xid_errors_total")->absent, 0);
}

// A reset of the GPU looks like a wrap; but the link cannot have carried so much.
TEST(NvmlSources, PcieCountersThatBeginAgainHaveNotWrapped) {
  for (const char* gpm : {"false", "true"}) {
    auto recording = recording_of(fmt::format(R"({{"gpus": [{{"gpm": {}, "load": [{{"pcie_rx_bytes_per_s": 1e6}}]}}],
      "faults": [{{"kind": "reset", "gpu": 0, "from_s": 5}}]}})",
                                              gpm));
    recording.run_until(seconds(10));
    const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
    EXPECT_FALSE(rx->total_is_complete()) << gpm;
    EXPECT_NEAR(*rx->total(), 1e6 * to_seconds(rx->end - rx->begin), 1.1e6) << gpm;
  }
}

TEST(NvmlSources, XidsAndEccErrorsAreCounted) {
  auto recording = recording_of(R"({"gpus": 1, "faults": [{"kind": "xid", "xid": 79, "from_s": 5},
    {"kind": "xid", "xid": 31, "from_s": 5.2}, {"kind": "ecc", "uncorrected": 3, "from_s": 6}]})");
  recording.run_until(seconds(10));
  EXPECT_EQ(recording.find("gpu_xid_errors_total")->total(), 2);
  EXPECT_EQ(recording.find("gpu_last_xid")->last, 31);
  EXPECT_EQ(recording.find("gpu_ecc_uncorrected_errors_total")->total(), 3);
}

TEST(NvmlSources, ProcessesAreNamedAndComeAndGo) {
  auto recording = recording_of(R"({"gpus": [{"load": [
    {"seconds": 5, "processes": [{"pid": "self", "bytes": 1000000}]},
    {"seconds": 5, "processes": [{"pid": 4000000, "bytes": 2000000}]}]}]})");
  recording.run_until(seconds(12));
  int mine = 0, others = 0;
  for (const CounterSummary& s : recording.summaries()) {
    if (s.counter.name != "gpu_process_memory_bytes") continue;
    mine += s.counter.device == "gpu:0 telemetry_test (pid " + std::to_string(getpid()) + ")" && s.max == 1e6;
    others += s.counter.device == "gpu:0 pid 4000000 outside this PID namespace" && s.max == 2e6;
  }
  EXPECT_EQ(mine, 1);
  EXPECT_EQ(others, 1);
}

TEST(NvmlSources, GpmGivesTheLoadsActivity) {
  auto recording = recording_of(R"({"gpus": [{"load": [{"sm_activity": 0.5, "tensor_activity": 0.25}]}]})");
  recording.run_until(seconds(10));
  EXPECT_NEAR(*recording.find("gpu_sm_active_ratio")->mean(), 0.5, 0.01);
  EXPECT_NEAR(*recording.find("gpu_tensor_active_ratio")->mean(), 0.25, 0.01);
  EXPECT_GT(recording.find("gpu_sm_active_ratio")->count, 80);
}

TEST(NvmlSources, AProcessIsAsBusyAsTheDriverSays) {
  auto recording = recording_of(R"({"gpus": [{"load": [
    {"seconds": 5, "processes": [{"pid": 1, "bytes": 1000, "utilization": 0.25}, {"pid": 4000000, "bytes": 10}]},
    {"processes": [{"pid": 1, "bytes": 1000}, {"pid": 4000000, "bytes": 10}]}]}]})");
  const auto utilization_of = [&](const std::string& pid) -> const CounterSummary* {
    for (const CounterSummary& s : recording.summaries())
      if (s.counter.name == "gpu_process_utilization_ratio" && s.counter.device.find("pid " + pid) != std::string::npos)
        return &s;
    return nullptr;
  };
  recording.run_until(seconds(4));
  ASSERT_NE(utilization_of("1"), nullptr);
  EXPECT_DOUBLE_EQ(utilization_of("1")->last, 0.25);
  EXPECT_DOUBLE_EQ(utilization_of("4000000")->last, 0);  // listed nowhere: idle
  recording.run_until(seconds(10));
  EXPECT_DOUBLE_EQ(utilization_of("1")->last, 0);
  EXPECT_DOUBLE_EQ(utilization_of("1")->max, 0.25);
}

TEST(NvmlSources, EncoderDecoderAndFanAreThereWhereTheGpuHasThem) {
  auto recording = recording_of(R"({"gpus": [{"load": [
    {"decoder_utilization": 0.5, "fan_speed": 0.3}]}, {}]})");
  recording.run_until(seconds(5));
  ASSERT_NE(recording.find("gpu_decoder_utilization_ratio"), nullptr);
  EXPECT_DOUBLE_EQ(recording.find("gpu_decoder_utilization_ratio")->last, 0.5);
  EXPECT_LE(recording.find("gpu_decoder_utilization_ratio")->count, 6);  // once a second
  EXPECT_DOUBLE_EQ(recording.find("gpu_fan_speed_ratio")->last, 0.3);
  EXPECT_EQ(recording.find("gpu_encoder_utilization_ratio"), nullptr);
  for (const char* name : {"gpu_decoder_utilization_ratio", "gpu_fan_speed_ratio"})
    EXPECT_EQ(recording.find(name, 1), nullptr);
}

TEST(NvmlSources, PartsOfAGpuHaveCountersOfTheirOwn) {
  auto recording = recording_of(R"({"gpus": [{"mig": "on", "mig_instances": 2, "memory_bytes": 2000000000,
    "memory_reserved_bytes": 0, "load": [{"memory_used_bytes": 600000000, "sm_activity": 0.5,
    "processes": [{"pid": 1, "bytes": 1000}, {"pid": 4000000, "bytes": 10}]}]}]})");
  recording.run_until(seconds(3));
  const auto find = [&](const std::string& device, const std::string& name) -> const CounterSummary* {
    for (const CounterSummary& s : recording.summaries())
      if (s.counter.name == name && s.counter.device.starts_with(device)) return &s;
    return nullptr;
  };
  for (const char* part : {"gpu:0:0 (MIG-", "gpu:0:1 (MIG-"}) {
    ASSERT_NE(find(part, "gpu_memory_used_bytes"), nullptr) << part;
    EXPECT_EQ(find(part, "gpu_memory_used_bytes")->last, 3e8);
    EXPECT_EQ(find(part, "gpu_memory_capacity_bytes")->last, 1e9);
    ASSERT_NE(find(part, "gpu_sm_active_ratio"), nullptr) << part;
    EXPECT_NEAR(find(part, "gpu_sm_active_ratio")->last, 0.5, 1e-3);
    EXPECT_EQ(find(part, "gpu_power_watts"), nullptr);
  }
  ASSERT_NE(find("gpu:0:1 pid 4000000", "gpu_process_memory_bytes"), nullptr);
  EXPECT_EQ(find("gpu:0:0 ", "gpu_process_memory_bytes")->last, 1000);
  EXPECT_EQ(find("gpu:0:1 pid 4000000", "gpu_process_memory_bytes")->last, 10);
  EXPECT_EQ(find("gpu:0 ", "gpu_process_memory_bytes"), nullptr);  // each process once
  EXPECT_EQ(find("gpu:0 (GPU-", "gpu_memory_used_bytes")->last, 6e8);
  ASSERT_NE(find("gpu:0 (GPU-", "gpu_power_watts"), nullptr);
  EXPECT_STREQ(find("gpu:0 (GPU-", "gpu_utilization_ratio")->absent_now,
               "the driver does not measure it while MIG is on");
  EXPECT_EQ(gpu_environment(recording.gpus()).at("gpu:0:1"),
            "NVIDIA H200 MIG 3g.0gb, MIG-fa4e0000-0000-4000-8000-000000000000/1, 00000000:1B:00.0");
}

TEST(NvmlSources, MemoryThatTheHostSharesIsTheHosts) {
  auto recording = recording_of(R"({"gpus": [{"name": "NVIDIA GB10", "unified_memory": true}]})");
  recording.run_until(seconds(3));
  const auto memory = parse_meminfo(*read_small_file("/proc/meminfo"));
  ASSERT_TRUE(memory);
  EXPECT_EQ(recording.find("gpu_memory_capacity_bytes")->last, static_cast<double>(memory->total_bytes));
  EXPECT_GT(recording.find("gpu_memory_used_bytes")->last, 0);
  EXPECT_THAT(recording.find("gpu_memory_capacity_bytes")->counter.help, testing::HasSubstr("host's memory"));
  EXPECT_STREQ(recording.find("gpu_memory_reserved_bytes")->absent_now,
               "GPU and host share one memory: the driver says nothing of it");
  EXPECT_THAT(gpu_environment(recording.gpus()).at("gpu:0"), testing::EndsWith(", memory shared with the host"));
}

}  // namespace
}  // namespace batchscope
