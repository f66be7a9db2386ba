// What becomes of counters: labels, types, and what has no value.
#include "serve/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchscope::serve {
namespace {

using testing::HasSubstr;
using testing::Not;

CounterSummary counter(const std::string& name, const std::string& unit, CounterKind kind, std::vector<Label> labels) {
  CounterSummary s;
  s.counter.name = name;
  s.counter.unit = unit;
  s.counter.kind = kind;
  s.counter.labels = std::move(labels);
  s.counter.help = "help of " + name;
  return s;
}

std::string page_of(std::vector<CounterSummary> counters) {
  RecordingSummary summary;
  summary.counters = std::move(counters);
  return to_text(metrics_of(summary), TextFormat::openmetrics);
}

TEST(Metrics, CountersAndGauges) {
  auto sent = counter("gpu_pcie_tx_bytes_total", "bytes", CounterKind::cumulative, {{"gpu", "0"}});
  sent.add(5, Nanoseconds(1));
  sent.add(9, Nanoseconds(2));
  auto other = counter("gpu_pcie_tx_bytes_total", "bytes", CounterKind::cumulative, {{"gpu", "1"}});
  other.add(7, Nanoseconds(1));
  auto used = counter("gpu_memory_used_bytes", "bytes", CounterKind::gauge, {{"gpu", "0"}});
  used.add(3, Nanoseconds(1));
  EXPECT_EQ(page_of({sent, used, other}),
            "# HELP batchscope_gpu_pcie_tx_bytes help of gpu_pcie_tx_bytes_total\n"
            "# TYPE batchscope_gpu_pcie_tx_bytes counter\n# UNIT batchscope_gpu_pcie_tx_bytes bytes\n"
            "batchscope_gpu_pcie_tx_bytes_total{gpu=\"0\"} 9\nbatchscope_gpu_pcie_tx_bytes_total{gpu=\"1\"} 7\n"
            "# HELP batchscope_gpu_memory_used_bytes help of gpu_memory_used_bytes\n"
            "# TYPE batchscope_gpu_memory_used_bytes gauge\n# UNIT batchscope_gpu_memory_used_bytes bytes\n"
            "batchscope_gpu_memory_used_bytes{gpu=\"0\"} 3\n# EOF\n");
}

TEST(Metrics, AnAbsentValueIsNotThereButItsReasonIs) {
  auto power = counter("gpu_power_watts", "watts", CounterKind::window, {{"gpu", "0"}});
  power.add(300, Nanoseconds(1));
  power.note_gap("the GPU is lost", 2, Nanoseconds(5));
  const std::string page = page_of({power});
  EXPECT_THAT(page, Not(HasSubstr("\nbatchscope_gpu_power_")));
  EXPECT_THAT(page, HasSubstr("batchscope_absent_info{metric=\"batchscope_gpu_power_watts\",gpu=\"0\",reason=\"the GPU "
                              "is lost\"} 1\n"));
  power.add(310, Nanoseconds(9));  // it is back
  EXPECT_THAT(page_of({power}), Not(HasSubstr("absent")));
  EXPECT_THAT(page_of({power}), HasSubstr("\nbatchscope_gpu_power_watts{gpu=\"0\"} 310\n"));
}

TEST(Metrics, NothingWasReadYet) {
  EXPECT_EQ(page_of({counter("gpu_power_watts", "watts", CounterKind::window, {})}), "# EOF\n");
}

TEST(Metrics, MeansOverWindowsHaveSumAndCountOfAllReadings) {
  auto busy = counter("gpu_utilization_ratio", "ratio", CounterKind::window, {{"gpu", "0"}});
  for (const double value : {0.25, 1.0, 0.5}) busy.add(value, Nanoseconds(1));
  const std::string page = page_of({busy});
  EXPECT_THAT(page, HasSubstr("# TYPE batchscope_gpu_utilization_sampled_ratio summary\n"
                              "# UNIT batchscope_gpu_utilization_sampled_ratio ratio\n"
                              "batchscope_gpu_utilization_sampled_ratio_sum{gpu=\"0\"} 1.75\n"
                              "batchscope_gpu_utilization_sampled_ratio_count{gpu=\"0\"} 3\n"));
}

TEST(Metrics, AnUnknownIncreaseIsTold) {
  auto sent = counter("gpu_pcie_tx_bytes_total", "bytes", CounterKind::cumulative, {{"gpu", "0"}});
  sent.add(5, Nanoseconds(1));
  sent.note_gap("it may have wrapped", 0, std::chrono::milliseconds(1500));
  EXPECT_THAT(page_of({sent}), HasSubstr("batchscope_unknown_increase_seconds_total{metric=\"batchscope_gpu_pcie_tx_"
                                         "bytes_total\",gpu=\"0\"} 1.5\n"));
}

TEST(Metrics, RealDevicesExplainANameThatVirtualOnesShare) {
  auto arena = counter("gpu_memory_used_bytes", "bytes", CounterKind::gauge, {{"gpu", "cpu:0"}});
  arena.counter.is_virtual = true;
  arena.counter.help = "of an arena";
  arena.add(1, Nanoseconds(1));
  auto gpu = counter("gpu_memory_used_bytes", "bytes", CounterKind::gauge, {{"gpu", "0"}});
  gpu.add(2, Nanoseconds(1));
  EXPECT_THAT(page_of({arena, gpu, arena}), HasSubstr("# HELP batchscope_gpu_memory_used_bytes help of gpu_"));
}

TEST(Metrics, WhatSamplingCosts) {
  RecordingSummary summary;
  summary.samplers.push_back({.source = "pcie gpu:0",
                              .period = std::chrono::milliseconds(50),
                              .missed = 2,
                              .period_error_p50 = std::chrono::microseconds(40),
                              .stuck = std::chrono::seconds(3)});
  const std::string page = to_text(metrics_of(summary), TextFormat::openmetrics);
  for (const char* line :
       {"batchscope_sampling_period_seconds{source=\"pcie gpu:0\",kind=\"pcie\"} 0.05\n",
        "batchscope_sampling_missed_total{source=\"pcie gpu:0\",kind=\"pcie\"} 2\n",
        "batchscope_sampling_period_error_seconds{source=\"pcie gpu:0\",kind=\"pcie\",quantile=\"0.5\"} 4e-05\n",
        "batchscope_sampling_stuck{source=\"pcie gpu:0\",kind=\"pcie\"} 1\n"})
    EXPECT_THAT(page, HasSubstr(line));
  EXPECT_THAT(page, Not(HasSubstr("cpu_ratio")));  // not known yet
}

}  // namespace
}  // namespace batchscope::serve
