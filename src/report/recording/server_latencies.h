// Latencies in an inference server's own histograms (OpenMetrics): what each means, whatever the server calls it, and
// quantiles out of its buckets.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "telemetry/summary/summary.h"

namespace batchscope {

// What a histogram's series is a part of. vLLM, SGLang, TGI and TensorRT-LLM name them differently.
struct LatencySeries {
  std::string kind{};  // "time to first token", "time per output token", "inter-token latency", "end to end", "queue"
  enum class Part { bucket, sum, count } part = Part::bucket;
  double upper_bound = 0;  // of a bucket, in seconds; infinite for the last
};
// Absent: no part of a latency. `device` holds the labels: "localhost:8000 le=\"0.1\",model_name=\"m\"".
std::optional<LatencySeries> latency_series(std::string_view name, std::string_view device);

// Buckets as (upper bound, events up to it), in ascending order, as Prometheus' histogram_quantile has it: evenly
// spread within a bucket; of what lies above the last finite bound, that bound. Absent without events.
std::optional<double> quantile_of(std::span<const std::pair<double, double>> buckets, double quantile);

// Of all label sets of a server together.
struct ServerLatency {
  std::string server{}, kind{};
  std::int64_t count = 0;
  std::optional<double> mean_s{}, p50_s{}, p99_s{};
};
std::vector<ServerLatency> server_latencies(std::span<const CounterSummary> counters);

}  // namespace batchscope
