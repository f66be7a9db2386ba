// What is said of main curves before a command starts.
#include "telemetry/summary/main_curves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "telemetry/source.h"

namespace batchscope {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

CounterSummary counter(const char* device, const char* name, const char* absent = nullptr) {
  CounterSummary summary;
  summary.counter.device = device;
  summary.counter.name = name;
  summary.absent_now = absent;
  return summary;
}

TEST(MainCurves, WhatGpusLackIsSaidOnceForAllOfThem) {
  RecordingSummary first;
  for (const char* gpu : {"gpu:0 (GPU-0)", "gpu:1 (GPU-1)"}) {
    first.counters.push_back(counter(gpu, "gpu_utilization_ratio"));
    first.counters.push_back(counter(gpu, "gpu_sm_active_ratio", "not supported"));
    first.counters.push_back(counter(gpu, "gpu_memory_used_bytes"));
    first.counters.push_back(counter(gpu, "gpu_power_watts"));
    first.counters.push_back(counter(gpu, "gpu_pcie_rx_bytes_total", "no permission"));
    first.counters.push_back(counter(gpu, "gpu_pcie_rx_bytes_per_second"));
  }
  first.counters.push_back(counter("gpu:2 (GPU-2)", "gpu_power_watts"));  // the others have not been read yet
  first.counters.push_back(counter("host", "cpu_seconds_total"));
  EXPECT_THAT(lacking_curves(first), ElementsAre("gpu:0, gpu:1: no SM activity: not supported"));
}

TEST(MainCurves, OneThatTheBudgetMakesTooCoarseIsSaid) {
  RecordingSummary first;
  first.samplers = {{.source = "gpm gpu:0", .period = std::chrono::milliseconds(1300), .curve = curve_period},
                    {.source = "gpm gpu:1", .period = std::chrono::milliseconds(900), .curve = curve_period},
                    {.source = "gauges gpu:0", .period = curve_period, .curve = curve_period},
                    {.source = "energy gpu:0", .period = std::chrono::seconds(9)}};
  EXPECT_THAT(lacking_curves(first), ElementsAre("gpm only every 1.30 s, since --cpu-budget allows no more"));
  EXPECT_THAT(lacking_curves({}), IsEmpty());
}

}  // namespace
}  // namespace batchscope
