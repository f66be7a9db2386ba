// Sums and means over an interval (telemetry/summary/phase_sums.h).
#include "telemetry/summary/phase_sums.h"

#include <algorithm>
#include <cmath>

namespace batchscope {
namespace {

Nanoseconds instant(const SampleSeries& series, std::size_t i) { return (series.before[i] + series.after[i]) / 2; }

// A value between two readings, and by how much it may be wrong.
struct Between {
  double value = 0, error = 0;
};

// Absent outside of the readings. `most_per_s`: no faster does it grow.
std::optional<Between> value_at(const SampleSeries& series, Nanoseconds when, double most_per_s) {
  std::size_t next = 0;
  while (next < series.size() && instant(series, next) < when) ++next;
  if (next == series.size() || (next == 0 && instant(series, 0) > when)) return std::nullopt;
  if (instant(series, next) == when) return Between{series.value(next), 0};
  const double low = series.value(next - 1), step = series.value(next) - low;
  const double since = to_seconds(when - instant(series, next - 1)), until = to_seconds(instant(series, next) - when);
  return Between{low + step * since / (since + until), std::min(std::abs(step), most_per_s * std::min(since, until))};
}

// Twice the greatest mean rate between two readings of which one at least lies within [begin, end].
double most_per_s(const SampleSeries& series, Nanoseconds begin, Nanoseconds end) {
  double most = 0;
  for (std::size_t i = 1; i < series.size(); ++i) {
    const Nanoseconds time = instant(series, i) - instant(series, i - 1);
    if (instant(series, i) < begin || instant(series, i - 1) > end || time <= Nanoseconds(0)) continue;
    most = std::max(most, (series.value(i) - series.value(i - 1)) / to_seconds(time));
  }
  return 2 * most;
}

}  // namespace

std::optional<double> increase_over(const SampleSeries& series, std::span<const GapRecord> gaps, Nanoseconds begin,
                                    Nanoseconds end) {
  const double fastest = most_per_s(series, begin, end);
  const auto first = value_at(series, begin, fastest), last = value_at(series, end, fastest);
  if (!first || !last || end <= begin) return std::nullopt;
  for (const GapRecord& gap : gaps)
    if (gap.begin < end && gap.end > begin && gap.ticks == 0) return std::nullopt;  // an increase nobody knows
  const double sum = last->value - first->value, error = first->error + last->error;
  if (sum < 0 || error > largest_sum_error * sum) {
    const bool still = sum == 0 && error == 0;
    return still ? std::optional(0.0) : std::nullopt;
  }
  return sum;
}

std::optional<double> mean_over(const SampleSeries& series, Nanoseconds begin, Nanoseconds end) {
  double sum = 0, time = 0;
  for (std::size_t i = 0; i < series.size(); ++i) {
    const Nanoseconds from = i == 0 ? begin : std::max(begin, instant(series, i - 1));
    const Nanoseconds to = std::min(end, instant(series, i));
    if (instant(series, i) < begin || to <= from) continue;
    sum += series.value(i) * to_seconds(to - from);
    time += to_seconds(to - from);
    if (instant(series, i) >= end) break;
  }
  return time > 0 ? std::optional(sum / time) : std::nullopt;
}

}  // namespace batchscope
