// Metrics as text: OpenMetrics 1.0.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/), and Prometheus' older
// text format 0.0.4 for those who ask for it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "telemetry/counter.h"

namespace batchscope::serve {

enum class TextFormat { openmetrics, prometheus };

// What a client would rather have, by its header Accept. OpenMetrics where it does not mind; plain text for browsers,
// which show it.
TextFormat preferred_format(std::string_view accept);
const char* content_type(TextFormat format);

enum class MetricType { gauge, counter, summary, histogram, info };

struct MetricSample {
  std::vector<Label> labels{};
  double value = 0;
  std::string suffix{};  // of a summary: "_sum", "_count", or none for a quantile; of a histogram "_bucket", too
};

struct MetricFamily {
  std::string name{};  // without a counter's "_total" and an info's "_info"
  MetricType type = MetricType::gauge;
  std::string unit{};  // written where the name ends with it, as OpenMetrics demands
  std::string help{};
  std::vector<MetricSample> samples{};
};

// As its samples are called: "batchscope_gpu_energy_joules_total".
std::string sample_name(const MetricFamily& family, const MetricSample& sample);

// Each family with its samples, in this order; families without samples are left out.
std::string to_text(const std::vector<MetricFamily>& families, TextFormat format);

}  // namespace batchscope::serve
