// Latencies out of histograms.
#include "report/recording/server_latencies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace batchscope {
namespace {

CounterSummary counter(const std::string& name, const std::string& device, double total) {
  CounterSummary summary;
  summary.counter = {.name = name, .device = device, .kind = CounterKind::cumulative};
  summary.add(10, Nanoseconds(0));
  summary.add(10 + total, std::chrono::seconds(1));
  return summary;
}

TEST(ServerLatencies, AreKnownByTheirNamesWhateverTheServer) {
  const auto bucket = latency_series("vllm:time_to_first_token_seconds_bucket", "h:1 engine=\"0\",le=\"0.25\"");
  ASSERT_TRUE(bucket);
  EXPECT_EQ(bucket->kind, "time to first token");
  EXPECT_EQ(bucket->upper_bound, 0.25);
  EXPECT_EQ(latency_series("sglang:e2e_request_latency_seconds_sum", "h:1")->kind, "end to end");
  EXPECT_EQ(latency_series("tgi_request_duration_count", "h:1")->part, LatencySeries::Part::count);
  EXPECT_TRUE(std::isinf(latency_series("x_inter_token_latency_seconds_bucket", "h:1 le=\"+Inf\"")->upper_bound));
  EXPECT_FALSE(latency_series("x_inter_token_latency_seconds_bucket", "h:1 file=\"0.1\""));
  EXPECT_FALSE(latency_series("vllm:num_requests_running", "h:1"));
}

TEST(ServerLatencies, QuantilesLieEvenlyWithinABucket) {
  const std::vector<std::pair<double, double>> buckets{{0.1, 10}, {0.2, 30}, {INFINITY, 40}};
  EXPECT_DOUBLE_EQ(*quantile_of(buckets, 0.25), 0.1);
  EXPECT_DOUBLE_EQ(*quantile_of(buckets, 0.5), 0.15);
  EXPECT_DOUBLE_EQ(*quantile_of(buckets, 0.99), 0.2) << "above the last bound nothing is known";
  EXPECT_FALSE(quantile_of({}, 0.5));
  EXPECT_FALSE(quantile_of(std::vector<std::pair<double, double>>{{0.1, 0}, {INFINITY, 0}}, 0.5));
}

TEST(ServerLatencies, EnginesOfAServerAreOne) {
  std::vector<CounterSummary> counters;
  for (const char* engine : {"0", "1"}) {
    const std::string labels = std::string("h:1 engine=\"") + engine + "\"";
    counters.push_back(counter("vllm:time_to_first_token_seconds_bucket", labels + ",le=\"0.1\"", 5));
    counters.push_back(counter("vllm:time_to_first_token_seconds_bucket", labels + ",le=\"+Inf\"", 5));
    counters.push_back(counter("vllm:time_to_first_token_seconds_sum", labels, 0.4));
    counters.push_back(counter("vllm:time_to_first_token_seconds_count", labels, 5));
  }
  const auto latencies = server_latencies(counters);
  ASSERT_EQ(latencies.size(), 1U);
  EXPECT_EQ(latencies[0].server, "h:1");
  EXPECT_EQ(latencies[0].count, 10);
  EXPECT_NEAR(*latencies[0].mean_s, 0.08, 1e-12);
  EXPECT_NEAR(*latencies[0].p50_s, 0.05, 1e-12);
}

}  // namespace
}  // namespace batchscope
