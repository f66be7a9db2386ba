// NVML's sources against the fake, in simulated time: totals are what went over the links, nothing is invented.
#include "telemetry/sources/nvml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/test_folder.h"
#include "telemetry/simulated_recording.h"
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
  EXPECT_NEAR(*rx->total(), 55e9 * 9, 55e9 * 0.1);
  ASSERT_EQ(rx->gaps.size(), 1U);
  EXPECT_EQ(rx->gaps[0].times, 1);
  // What does not wrap is complete all the same.
  const CounterSummary* nvlink = recording.find("gpu_nvlink_tx_bytes_total");
  EXPECT_TRUE(nvlink->total_is_complete());
  EXPECT_NEAR(*nvlink->total(), 300e9 * to_seconds(nvlink->end - nvlink->begin), 1e6);  // stamps are whole us
}

// A gap in readings of 150 ms, at 5 s, under these loads one after another.
CounterSummary rx_over_a_gap(const std::string& loads) {
  auto recording = recording_of(R"({"gpus": [{"load": [)" + loads + "]}]}");
  recording.run_until(seconds(5));
  recording.clock().sleep_until(seconds(5) + milliseconds(150));
  recording.run_until(seconds(8));
  return *recording.find("gpu_pcie_rx_bytes_total");
}

TEST(NvmlSources, AGapHidesNoWrapWhereGpmSawFewBytes) {
  const CounterSummary quiet = rx_over_a_gap(R"({"pcie_rx_bytes_per_s": 2e9})");
  EXPECT_TRUE(quiet.total_is_complete());
  EXPECT_NEAR(*quiet.total(), 2e9 * to_seconds(quiet.end - quiet.begin), 1e6);
  EXPECT_EQ(quiet.absent, 0);
  // Bytes that are known to have gone before and after are none of the gap's.
  const CounterSummary beside = rx_over_a_gap(
      R"({"seconds": 4.7, "pcie_rx_bytes_per_s": 50e9}, {"seconds": 0.6}, {"pcie_rx_bytes_per_s": 50e9})");
  EXPECT_TRUE(beside.total_is_complete());
}

TEST(NvmlSources, AGapMayHideAWrapWhereGpmSawMany) {
  const CounterSummary busy = rx_over_a_gap(R"({"pcie_rx_bytes_per_s": 40e9})");
  EXPECT_FALSE(busy.total_is_complete());
  EXPECT_LT(*busy.total(), 40e9 * to_seconds(busy.end - busy.begin) - 5e9);
}

TEST(NvmlSources, RowsBehindAGapAreGivenAtTheEndToo) {
  auto recording = recording_of(R"({"gpus": [{"load": [{"pcie_rx_bytes_per_s": 2e9}]}]})");
  recording.run_until(seconds(5));
  recording.clock().sleep_until(seconds(5) + milliseconds(150));
  recording.read_all();
  const CounterSummary* rx = recording.find("gpu_pcie_rx_bytes_total");
  EXPECT_TRUE(rx->total_is_complete());
  EXPECT_GE(rx->end, seconds(5) + milliseconds(350));
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

}  // namespace
}  // namespace batchscope
