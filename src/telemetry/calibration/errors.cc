// Error bars (telemetry/calibration/errors.h).
#include "telemetry/calibration/errors.h"

#include <cmath>

namespace batchscope::calibration {
namespace {

constexpr double deviations_of_95_percent = 1.96;

const CalibratedCounter* find(const Calibration& calibration, const std::string& name) {
  const CalibratedCounter* found = nullptr;
  for (const auto& [id, counter] : calibration.counters)
    // The driver's ring and its gauge have one name: the ring is what is recorded.
    if (counter.name == name && (found == nullptr || id.ends_with("_samples"))) found = &counter;
  return found;
}

// Standard error of the gain, relative; absent where the gain was not found.
std::optional<double> gain_error(const CalibratedCounter& counter) {
  const auto gain = counter.properties.find(property::gain);
  if (gain == counter.properties.end() || !gain->second.value || *gain->second.value == 0) return std::nullopt;
  return std::abs(gain->second.uncertainty / *gain->second.value);
}

}  // namespace

void add_errors(std::span<CounterSummary> counters, const Calibration& calibration, const std::string& device) {
  for (CounterSummary& s : counters) {
    if (s.counter.device != device || s.count == 0) continue;
    const CalibratedCounter* counter = find(calibration, s.counter.name);
    if (counter == nullptr) continue;
    const auto gain = gain_error(*counter);
    const auto refresh = counter->value(property::refresh);
    if (const auto total = s.total()) {
      if (!gain && !refresh) continue;
      const double end = refresh.value_or(0) / std::sqrt(12.0) * s.rate_per_s().value_or(0);
      s.error = deviations_of_95_percent * std::hypot(*total * gain.value_or(0), std::sqrt(2.0) * end);
    } else if (gain) {
      s.error = deviations_of_95_percent * *gain * std::abs(*s.mean());
    }
  }
}

}  // namespace batchscope::calibration
