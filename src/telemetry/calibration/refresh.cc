// Refresh periods (telemetry/calibration/refresh.h).
#include "telemetry/calibration/refresh.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>

namespace batchscope::calibration {
namespace {

constexpr std::size_t fewest_changes = 8;
constexpr int longest_multiple = 8;  // between instants; further apart, and the count of those between is a guess
constexpr double tolerance = 0.2;    // of the period: jitter of a refresh
constexpr double most = 0.6, nearly_all = 0.85;  // of the distances
constexpr double coarsest = 0.3;                 // of the period: a coarser resolution would fit any period
constexpr double live_share = 0.8;               // of the readings changed: no refresh period to be seen

struct Fit {
  double period = 0, share = 0, residual = 0;
  double periods = 0;  // in all distances that fit
  std::int64_t fitting = 0;
  double counted = 0;  // share of the distances that are few enough periods long to be counted
};

Fit fit_period(const std::vector<double>& distances, double period, double resolution) {
  Fit fit{.period = period};
  for (int round = 0; round < 8; ++round) {
    double sum = 0, squares = 0;
    std::int64_t counted = 0;
    fit.periods = 0;
    fit.fitting = 0;
    for (const double distance : distances) {
      const double multiple = std::round(distance / fit.period);
      if (multiple > longest_multiple) continue;
      ++counted;
      const double error = distance - multiple * fit.period;
      if (multiple < 1 || std::abs(error) > std::max(resolution, tolerance * fit.period)) continue;
      ++fit.fitting;
      sum += distance;
      squares += error * error;
      fit.periods += multiple;
    }
    if (fit.fitting < 2) return {};
    fit.share = static_cast<double>(fit.fitting) / static_cast<double>(counted);
    fit.counted = static_cast<double>(counted) / static_cast<double>(distances.size());
    fit.residual = std::sqrt(squares / static_cast<double>(fit.fitting - 1));
    const double refined = sum / fit.periods;
    if (std::abs(refined - fit.period) < 1e-9 * refined) break;
    fit.period = refined;
  }
  return fit;
}

}  // namespace

std::vector<Change> changes_of(const Series& series) {
  std::vector<Change> changes;
  const TimedValue* last = nullptr;
  for (const TimedValue& reading : series) {
    if (!reading.value) continue;
    if (last != nullptr && *last->value != *reading.value) {
      const Nanoseconds half = (reading.after - last->before) / 2;
      changes.push_back({.middle = last->before + half, .half_width = half, .value = *reading.value});
    }
    last = &reading;
  }
  if (changes.empty()) return changes;
  std::vector<double> widths;
  for (const Change& change : changes) widths.push_back(to_seconds(change.half_width));
  const Nanoseconds widest = from_seconds(3 * median(widths));
  std::erase_if(changes, [&](const Change& change) { return change.half_width > widest; });
  return changes;
}

Estimate clock_period(std::span<const double> instants, double resolution) {
  if (instants.size() < fewest_changes)
    return Estimate::absent(fmt::format("only {} changes were seen, too few to tell a period", instants.size()));
  std::vector<double> distances;
  for (std::size_t i = 1; i < instants.size(); ++i) distances.push_back(instants[i] - instants[i - 1]);
  // The shortest distances are one period, or two, or three of it.
  const double shortest = quantile(distances, 0.1);
  for (int divisor = 1; divisor <= longest_multiple; ++divisor) {
    const double candidate = shortest / divisor;
    if (resolution > coarsest * candidate) break;
    const Fit fit = fit_period(distances, candidate, resolution);
    if (fit.share < nearly_all || fit.counted < most || fit.fitting + 1 < static_cast<std::int64_t>(fewest_changes))
      continue;
    // As if each distance erred for itself: more than the truth where only reading, not refreshing, has jitter.
    return {.value = fit.period,
            .uncertainty = std::max(fit.residual, resolution / std::sqrt(12.0)) *
                           std::sqrt(static_cast<double>(fit.fitting)) / fit.periods,
            .n = fit.fitting,
            .how = fmt::format("{:.0f} % of the distances between changes are whole multiples of it", 100 * fit.share)};
  }
  return Estimate::absent(fmt::format(
      "changes come {:.3g} ms apart or more, not in step with any period that readings {:.3g} ms apart could show",
      1e3 * shortest, 1e3 * resolution));
}

Estimate refresh_period(const Series& series) {
  std::vector<double> steps;
  std::int64_t pairs = 0, changed = 0;
  const TimedValue* last = nullptr;
  for (const TimedValue& reading : series) {
    if (!reading.value) continue;
    if (last != nullptr) {
      ++pairs;
      changed += *last->value != *reading.value ? 1 : 0;
      steps.push_back(to_seconds(reading.before - last->before));
    }
    last = &reading;
  }
  if (pairs == 0) return Estimate::absent("it could not be read");
  if (changed == 0) return Estimate::absent("its value never changed");
  if (static_cast<double>(changed) > live_share * static_cast<double>(pairs))
    return Estimate::absent(
        fmt::format("it changed at nearly every reading, {:.3g} ms apart: it is renewed that often "
                    "or more often",
                    1e3 * median(steps)));
  const auto changes = changes_of(series);
  std::vector<double> instants, widths;
  for (const Change& change : changes) {
    instants.push_back(to_seconds(change.middle));
    widths.push_back(to_seconds(change.half_width));
  }
  Estimate estimate = clock_period(instants, median(widths));
  if (estimate.value) estimate.how = fmt::format("read every {:.3g} ms; {}", 1e3 * median(steps), estimate.how);
  return estimate;
}

std::vector<double> renewals_of(const Series& pairs) {
  std::map<double, std::size_t> counts;
  std::size_t present = 0;
  for (const TimedValue& pair : pairs)
    if (pair.value) ++present, ++counts[*pair.value];
  std::set<double> stale{0};
  for (const auto& [value, count] : counts)
    if (2 * count > present) stale.insert(value);
  std::vector<double> instants;
  std::optional<double> last;
  for (const TimedValue& pair : pairs) {
    if (!pair.value) continue;
    if (!stale.contains(*pair.value) && pair.value != last) instants.push_back(to_seconds(pair.before));
    last = pair.value;
  }
  return instants;
}

Estimate shortest_sound_gap(std::span<const GapValue> pairs) {
  constexpr double near = 0.05;
  std::map<double, std::vector<double>> by_gap;
  for (const GapValue& pair : pairs) by_gap[pair.gap].push_back(pair.value);
  std::erase_if(by_gap, [](const auto& gap) { return gap.second.size() < fewest_changes; });
  if (by_gap.size() < 3) return Estimate::absent("too few pairs of samples had a value");
  const double truth = median(by_gap.rbegin()->second);
  const auto is_sound = [&](const std::vector<double>& values) {
    const auto sound = std::count_if(values.begin(), values.end(),
                                     [&](double value) { return std::abs(value - truth) <= near * std::abs(truth); });
    return static_cast<double>(sound) >= nearly_all * static_cast<double>(values.size());
  };
  auto sound = by_gap.rbegin();
  if (!is_sound(sound->second)) return Estimate::absent("even samples far apart do not agree with each other");
  while (std::next(sound) != by_gap.rend() && is_sound(std::next(sound)->second)) ++sound;
  const double shortest = sound->first;
  if (std::next(sound) == by_gap.rend())
    return Estimate::absent(fmt::format("samples {:.3g} ms apart already agree", 1e3 * shortest));
  const double unsound = std::next(sound)->first;
  return {.value = shortest,
          .uncertainty = shortest - unsound,
          .n = static_cast<std::int64_t>(pairs.size()),
          .how = fmt::format("pairs of samples {:.3g} ms apart are wrong, those from {:.3g} ms on are right",
                             1e3 * unsound, 1e3 * shortest)};
}

}  // namespace batchscope::calibration
