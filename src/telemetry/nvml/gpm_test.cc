// GPM's calls from many threads, against the fake, which refuses what NVML was seen to crash in.
#include "telemetry/nvml/gpm.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "telemetry/nvml/fake/control.h"

namespace batchscope::nvml {
namespace {

TEST(GpmSnapshot, ManyThreadsOfManyGpusMakeTheCallsThatMayBeMadeAtOnce) {
  const fake::Control control(BATCHSCOPE_FAKE_NVML);
  control.set_scenario(R"({"gpus": 16, "costs_us": {"nvmlGpmSampleGet": 2000, "nvmlGpmMetricsGet": 1000}})");
  control.use_real_time();
  const Library library(BATCHSCOPE_FAKE_NVML);
  ASSERT_EQ(library.init(), success);
  const auto gpus = library.gpus();
  ASSERT_EQ(gpus.size(), 16);
  std::vector<Return> results(8);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < results.size(); ++t)
    threads.emplace_back([&, device = gpus[12 + t / 2].device, &result = results[t]] {
      const auto note = [&](Return returned) {
        if (returned != success) result = returned;
      };
      GpmSnapshot earlier(library), later(library);
      GpmMetrics metrics;
      metrics.count = 1;
      metrics.metrics[0].id = gpm_pcie_tx_mib_per_s;
      for (int round = 0; round < 3; ++round) {
        note(earlier.take(device));
        note(later.take(device));
        note(later.metrics_since(earlier, metrics));
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(results, std::vector<Return>(8, success));
}

}  // namespace
}  // namespace batchscope::nvml
