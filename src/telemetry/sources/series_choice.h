// Which series of a page of metrics are taken, and in which order: there is room for some thousands.
#pragma once

#include <string>
#include <vector>

#include "telemetry/sources/metrics_text.h"

namespace batchscope {

// Of 64 engines of a server, each with the figures that vLLM has of one.
constexpr std::size_t most_scraped_series = 5000;

class SeriesChoice {
 public:
  // Shell patterns of names ("vllm:*") or of names with their labels ("*engine=\"0\"*"); none: all series.
  explicit SeriesChoice(std::vector<std::string> patterns = {}) : patterns_(std::move(patterns)) {}

  // Leaves what was chosen. What a process says of itself (process_*, python_*) comes last: it is the first to be left
  // out.
  void apply(std::vector<MetricsText::Sample>& samples) const;

 private:
  bool is_chosen(const MetricsText::Sample& sample) const;

  std::vector<std::string> patterns_;
};

}  // namespace batchscope
