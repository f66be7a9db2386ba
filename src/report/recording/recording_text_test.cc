// A recording on one screen.
#include "report/recording/recording_text.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "report/recording/device_numbers.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

CounterSummary level(const std::string& device, const std::string& name, double value, double greatest) {
  CounterSummary summary;
  summary.counter = {.name = name, .device = device, .kind = CounterKind::gauge};
  summary.source = "gauges";
  summary.add(value, Nanoseconds(0));
  summary.add(2 * value - greatest, std::chrono::seconds(10));
  summary.add(greatest, std::chrono::seconds(17));
  return summary;
}

CounterSummary total(const std::string& device, const std::string& name, double value,
                     const std::string& source = "x") {
  CounterSummary summary;
  summary.counter = {.name = name, .device = device, .kind = CounterKind::cumulative};
  summary.source = source;
  summary.add(5, Nanoseconds(0));
  summary.add(5 + value, std::chrono::seconds(17));
  return summary;
}

RecordingSummary recording_of(int gpus) {
  RecordingSummary summary{.elapsed = std::chrono::seconds(17)};
  auto& counters = summary.counters;
  counters.push_back(total("host", "host_cpu_seconds_total", 80, "host"));
  counters.push_back(level("host", "host_memory_used_bytes", 90e9, 100e9));
  counters.push_back(level("host", "host_memory_total_bytes", 503e9, 503e9));
  counters.push_back(total("nvme0n1", "disk_read_bytes_total", 3e9, "host"));
  counters.push_back(total("nvme0n1", "disk_written_bytes_total", 1e9, "host"));
  counters.push_back(total("eth0", "network_receive_bytes_total", 1e6, "host"));
  counters.push_back(total("eth0", "network_transmit_bytes_total", 1e6, "host"));
  counters.push_back(total("pid 1 and descendants", "process_cpu_seconds_total", 60, "host"));
  counters.push_back(level("pid 1 and descendants", "process_resident_memory_bytes", 20e9, 30e9));
  for (int i = 0; i < gpus; ++i) {
    const std::string gpu = fmt::format("gpu:{} (GPU-{:08x})", i, i);
    counters.push_back(level(gpu, "gpu_utilization_ratio", 0.93, 1));
    counters.push_back(level(gpu, "gpu_sm_active_ratio", 0.81, 1));
    counters.push_back(level(gpu, "gpu_power_watts", 650, 700));
    counters.push_back(total(gpu, "gpu_energy_joules_total", 11e3));
    counters.push_back(level(gpu, "gpu_memory_used_bytes", 70e9, 140e9));
    counters.push_back(level(gpu, "gpu_memory_capacity_bytes", 150e9, 150e9));
    counters.push_back(level(gpu, "gpu_clocks_power_capped_ratio", 0.34, 1));
    for (const char* name : {"gpu_pcie_rx_bytes_total", "gpu_pcie_tx_bytes_total", "gpu_nvlink_rx_bytes_total",
                             "gpu_nvlink_tx_bytes_total"})
      counters.push_back(total(gpu, name, 81'793'064'960.0));
    counters.push_back(level(fmt::format("gpu:{} python (pid 4711)", i), "gpu_process_memory_bytes", 60e9, 70e9));
  }
  for (int i = 0; i < 30; ++i)
    summary.phases.push_back({.name = fmt::format("ncclAllReduce {}", i), .count = 960, .seconds = 3.0 - 0.1 * i});
  return summary;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(RecordingText, EightGpusFitAScreenAndTheAnswerIsLast) {
  RecordingSummary summary = recording_of(8);
  summary.counters.back().note_gap("the GPU is lost", 10, std::chrono::seconds(1));
  for (CounterSummary& counter : summary.counters)
    if (counter.counter.name == "gpu_pcie_rx_bytes_total" && counter.counter.device.starts_with("gpu:3"))
      counter.note_gap("two readings lie too far apart", 0, std::chrono::milliseconds(800));
  const std::string text = to_text(summary, false, SummaryDetail::brief);
  const auto lines = lines_of(text);
  EXPECT_LE(lines.size(), 24U) << text;
  for (const std::string& line : lines) EXPECT_LE(line.size(), 80U) << line;
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                            [&](const std::string& line) { return line.starts_with(fmt::format("gpu:{} ", i)); }),
              1)
        << text;
  EXPECT_THAT(text, HasSubstr(">=76.2 GiB"));
  EXPECT_THAT(text, HasSubstr("! two readings lie too far apart: gpu:3: gpu_pcie_rx_bytes_total, increase of"));
  EXPECT_THAT(text, HasSubstr("phases (2 of 30 names; --verbose has more)"));
  EXPECT_THAT(text, HasSubstr("python (pid 4711): 521.5 GiB on 8 GPUs"));
  const auto answer = text.rfind("Recorded for 17.00 s: 8 GPUs 93 % busy (SMs 81 %), 5200 W, ");
  ASSERT_NE(answer, std::string::npos) << text;
  EXPECT_THAT(text.substr(answer), HasSubstr("lower bounds"));
  EXPECT_THAT(text.substr(answer), HasSubstr("power limit 34 %"));
}

TEST(RecordingText, VerboseHasEveryCounterAndTheAnswerLast) {
  const std::string text = to_text(recording_of(1), false, SummaryDetail::verbose);
  EXPECT_THAT(text, HasSubstr("  gpu_pcie_rx_bytes_total"));
  EXPECT_GT(text.rfind("Recorded for"), text.find("gpu_pcie_rx_bytes_total"));
  EXPECT_THAT(text, HasSubstr("all totals complete"));
}

TEST(RecordingText, PartsOfAGpuCountOnce) {
  RecordingSummary summary = recording_of(2);
  for (const char* part : {"gpu:0:0 (MIG-00000000)", "gpu:0:1 (MIG-00000000)"}) {
    summary.counters.push_back(level(part, "gpu_memory_used_bytes", 30e9, 70e9));
    summary.counters.push_back(level(part, "gpu_sm_active_ratio", 0.1, 0.2));
  }
  const std::string text = to_text(summary, false, SummaryDetail::brief);
  EXPECT_THAT(text, AllOf(HasSubstr("\ngpu:0:1 "), HasSubstr("2 GPUs ")));
  const std::vector<DeviceNumbers> devices = device_numbers(summary.counters);
  EXPECT_EQ(devices.size(), 4u);
  EXPECT_EQ(sum_of(devices, &DeviceNumbers::peak_memory_bytes), 280e9);
  EXPECT_EQ(mean_of(devices, &DeviceNumbers::sm_active),
            mean_of(std::span(devices).first(2), &DeviceNumbers::sm_active));
}

TEST(RecordingText, AProcessThatComesBackToAGpuIsThereOnce) {
  const std::vector<CounterSummary> counters{
      level("gpu:0 python (pid 4711)", "gpu_process_memory_bytes", 50, 60),
      level("gpu:1 python (pid 4711)", "gpu_process_memory_bytes", 10, 10),
      level("gpu:0 python (pid 4711)", "gpu_process_memory_bytes", 40, 40),
  };
  const std::vector<GpuProcess> processes = gpu_processes(counters);
  ASSERT_EQ(processes.size(), 1u);
  EXPECT_THAT(processes[0].gpus, testing::ElementsAre("gpu:0", "gpu:1"));
  EXPECT_EQ(processes[0].peak_bytes, 70);
}

TEST(RecordingText, WithoutGpusItSaysWhatTheCommandUsed) {
  const std::string text = to_text(recording_of(0), false, SummaryDetail::brief);
  EXPECT_THAT(text, HasSubstr("the command used 3.53 cores"));
  EXPECT_THAT(text, Not(HasSubstr("PCIe")));
  EXPECT_THAT(to_text({}, false, SummaryDetail::brief), HasSubstr("Recorded for"));
}

}  // namespace
}  // namespace batchscope
