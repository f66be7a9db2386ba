// A recording's summary as JSON (report/recording/recording_json.h).
#include "report/recording/recording_json.h"

#include "report/recording/paper_view.h"

namespace batchscope {
namespace {

using nlohmann::json;

json seconds_or_null(const std::optional<Nanoseconds>& time) { return time ? json(to_seconds(*time)) : json(); }
json or_null(const std::optional<double>& value) { return value ? json(*value) : json(); }

json to_json(const CounterSummary& s) {
  json gaps = json::array();
  for (const auto& gap : s.gaps)
    gaps.push_back(
        {{"reason", gap.reason}, {"readings", gap.readings}, {"times", gap.times}, {"seconds", to_seconds(gap.time)}});
  const bool values = s.count > 0;
  return {{"source", s.source},
          {"device", s.counter.device},
          {"virtual", s.counter.is_virtual},
          {"name", s.counter.name},
          {"unit", s.counter.unit},
          {"kind", name_of(s.counter.kind)},
          {"values", s.count},
          {"absent", s.absent},
          {"total", or_null(s.total())},
          {"total_is_complete", s.is_cumulative() ? json(s.total_is_complete()) : json()},
          {"rate_per_s", or_null(s.rate_per_s())},
          {"mean", or_null(s.mean())},
          {"error", or_null(s.error)},
          {"min", values ? json(s.min) : json()},
          {"max", values ? json(s.max) : json()},
          {"gaps", gaps}};
}

json to_json(const PhaseTotal& phase) {
  return {{"name", phase.name},
          {"count", phase.count},
          {"seconds", phase.seconds},
          {"mean_s", phase.count > 0 ? json(phase.seconds / static_cast<double>(phase.count)) : json()},
          {"not_ended", phase.not_ended}};
}

json to_json(const MarkCounts& marks) {
  return {{"received", marks.received},
          {"lost", marks.lost},
          {"refused", marks.refused},
          {"ends_without_begin", marks.ends_without_begin}};
}

json to_json(const SamplerFigures& f) {
  return {{"source", f.source},
          {"period_s", to_seconds(f.period)},
          {"wanted_period_s", seconds_or_null(f.wanted)},
          {"readings", f.ticks},
          {"missed", f.missed},
          {"dropped", f.dropped},
          {"period_error_p50_s", seconds_or_null(f.period_error_p50)},
          {"period_error_p99_s", seconds_or_null(f.period_error_p99)},
          {"period_error_max_s", seconds_or_null(f.period_error_max)},
          {"call_p50_s", seconds_or_null(f.call_p50)},
          {"call_p99_s", seconds_or_null(f.call_p99)},
          {"call_max_s", seconds_or_null(f.call_max)},
          {"cpu_share", or_null(f.cpu_share)},
          {"stuck_s", seconds_or_null(f.stuck)}};
}

}  // namespace

nlohmann::json to_json(const RecordingSummary& summary) {
  json counters = json::array(), samplers = json::array(), phases = json::array();
  for (const auto& s : summary.counters) counters.push_back(to_json(s));
  for (const auto& f : summary.samplers) samplers.push_back(to_json(f));
  for (const auto& p : summary.phases) phases.push_back(to_json(p));
  return {{"seconds", to_seconds(summary.elapsed)},
          {"counters", counters},
          {"samplers", samplers},
          {"calibrations", summary.calibrations},
          {"paper", to_json(paper_views(summary.counters))},
          {"phases", phases},
          {"marks", summary.marks ? to_json(*summary.marks) : json()}};
}

}  // namespace batchscope
