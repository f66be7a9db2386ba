// Metrics as servers publish them: Prometheus' text format 0.0.4 and OpenMetrics 1.0.0, read leniently.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "telemetry/counter.h"

namespace batchscope {

struct MetricsText {
  struct Sample {
    std::string name{};  // as it stands there: "vllm:num_requests_running", "request_seconds_sum"
    std::vector<Label> labels{};
    double value = 0;  // may be no number
    CounterKind kind = CounterKind::gauge;
    std::string help{};
  };
  // Of histograms and summaries sum and count, which are cumulative; buckets, times of creation, infos and states are
  // left out. What has no type is cumulative when its name ends with _total.
  std::vector<Sample> samples{};
  std::size_t malformed_lines = 0;  // skipped
};

MetricsText parse_metrics_text(std::string_view text);

// `engine="0",model="m"`: as it stands behind a name.
std::string to_text(const std::vector<Label>& labels);

}  // namespace batchscope
