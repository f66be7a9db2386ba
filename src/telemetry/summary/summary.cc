// The summary's figures (telemetry/summary/summary.h).
#include "telemetry/summary/summary.h"

#include <algorithm>

namespace batchscope {

void CounterSummary::add(double value, Nanoseconds when) {
  if (count == 0) {
    first = min = max = value;
    begin = when;
  }
  ++count;
  sum += value;
  min = std::min(min, value);
  max = std::max(max, value);
  last = value;
  end = when;
  absent_now = nullptr;
}

void CounterSummary::note_gap(const char* reason, std::int64_t readings, Nanoseconds time) {
  absent += readings;
  if (readings > 0) absent_now = reason;
  auto same = std::find_if(gaps.begin(), gaps.end(), [&](const Gap& gap) {
    return gap.reason == reason && (gap.readings > 0) == (readings > 0);
  });
  if (same == gaps.end()) same = gaps.insert(gaps.end(), Gap{.reason = reason});
  same->readings += readings;
  ++same->times;
  same->time += time;
}

std::optional<double> CounterSummary::total() const {
  if (count == 0 || counter.kind != CounterKind::cumulative) return std::nullopt;
  return last - first;
}

bool CounterSummary::total_is_complete() const {
  return std::none_of(gaps.begin(), gaps.end(), [](const Gap& gap) { return gap.readings == 0; });
}

std::optional<double> CounterSummary::rate_per_s() const {
  const auto increase = total();
  if (!increase || end <= begin) return std::nullopt;
  return *increase / to_seconds(end - begin);
}

std::optional<double> CounterSummary::mean() const {
  if (count == 0 || counter.kind == CounterKind::cumulative) return std::nullopt;
  return sum / static_cast<double>(count);
}

}  // namespace batchscope
