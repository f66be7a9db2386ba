// Choosing series (sources/series_choice.h).
#include "telemetry/sources/series_choice.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>

namespace batchscope {

bool SeriesChoice::is_chosen(const MetricsText::Sample& sample) const {
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const std::string& pattern) {
    return fnmatch(pattern.c_str(), sample.name.c_str(), 0) == 0 ||
           fnmatch(pattern.c_str(), fmt::format("{}{{{}}}", sample.name, to_text(sample.labels)).c_str(), 0) == 0;
  });
}

void SeriesChoice::apply(std::vector<MetricsText::Sample>& samples) const {
  if (!patterns_.empty()) std::erase_if(samples, [&](const auto& sample) { return !is_chosen(sample); });
  std::stable_partition(samples.begin(), samples.end(), [](const auto& sample) {
    return !sample.name.starts_with("process_") && !sample.name.starts_with("python_");
  });
}

}  // namespace batchscope
