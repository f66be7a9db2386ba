// The modulus of a wrapping counter (telemetry/calibration/modulus.h).
#include "telemetry/calibration/modulus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace batchscope::calibration {
namespace {

// Of what was expected: protocol costs up to a half more; and a load's end may be missed.
constexpr double least_of_known = 0.8, most_of_known = 1.8;

struct Step {
  double seconds = 0, increase = 0;
};

std::vector<Step> steps_of(const Series& series) {
  std::vector<Step> steps;
  const TimedValue* last = nullptr;
  for (const TimedValue& reading : series) {
    if (!reading.value) continue;
    if (last != nullptr && *reading.value != *last->value)
      steps.push_back(
          {.seconds = to_seconds(reading.middle() - last->middle()), .increase = *reading.value - *last->value});
    last = &reading;
  }
  return steps;
}

}  // namespace

Estimate modulus(const Series& series, double known_total) {
  const std::vector<Step> steps = steps_of(series);
  double greatest = 0;
  for (const TimedValue& reading : series) greatest = std::max(greatest, reading.value.value_or(0));
  std::vector<double> rates;
  std::vector<Step> falls;
  for (const Step& step : steps) {
    if (step.increase < 0)
      falls.push_back(step);
    else if (step.seconds > 0)
      rates.push_back(step.increase / step.seconds);
  }
  if (falls.empty())
    return Estimate::absent(steps.empty() ? "it did not move"
                                          : fmt::format("it did not wrap; it is greater than {:.0f}", greatest));
  if (rates.size() < falls.size())
    return Estimate::absent("it falls more often than it rises: it is read too seldom to see its wraps");
  const double rate = median(rates);

  std::vector<double> lost;
  for (const Step& fall : falls) lost.push_back(rate * fall.seconds - fall.increase);
  const double seen = median(lost), power = std::round(std::log2(seen)), found = std::exp2(power);
  std::vector<double> deviations;
  for (const double value : lost) deviations.push_back(std::abs(value - seen));
  const double spread = 1.4826 * median(deviations);
  if (std::abs(seen - found) > std::max(0.1 * found, 2 * spread))
    return Estimate::absent(
        fmt::format("it fell {} times, by {:.4g} in the median, which is not a power of two", falls.size(), seen));
  if (greatest >= found)
    return Estimate::absent(fmt::format("falls look like 2^{:.0f}, but it was seen at {:.0f}", power, greatest));

  double total = 0;
  for (const Step& step : steps) total += step.increase < 0 ? step.increase + found : step.increase;
  if (known_total > 0 && (total < least_of_known * known_total || total > most_of_known * known_total))
    return Estimate::absent(
        fmt::format("unwrapped at 2^{:.0f} it counts {:.4g}, but {:.4g} were moved: it is read too seldom", power,
                    total, known_total));
  return {.value = found,
          .uncertainty = 0,
          .n = static_cast<std::int64_t>(falls.size()),
          .how = fmt::format("2^{:.0f}: {} wraps, each losing {:.3f} ± {:.3f} of it at the rate of the readings around",
                             power, falls.size(), seen / found,
                             spread / found / std::sqrt(static_cast<double>(falls.size())))};
}

std::optional<Series> unwrapped(const Series& series, std::optional<double> modulus) {
  Series out = series;
  double added = 0;
  std::optional<double> last;
  for (TimedValue& reading : out) {
    if (!reading.value) continue;
    const double raw = *reading.value;
    if (last && raw < *last) {
      if (!modulus) return std::nullopt;
      added += *modulus;
    }
    last = raw;
    *reading.value += added;
  }
  return out;
}

}  // namespace batchscope::calibration
