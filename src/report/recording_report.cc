// A recording's summary from its file (report/recording_report.h).
#include "report/recording_report.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/units.h"

namespace batchscope {
namespace {

CounterSummary counter_summary(const StoreReader& reader, const SeriesRecord& series) {
  const SeriesSummary stored = reader.summary(series.id);
  CounterSummary summary;
  summary.counter.name = series.name;
  summary.counter.unit = series.unit;
  summary.counter.device = series.device;
  summary.counter.kind = series.kind == "cumulative" ? CounterKind::cumulative
                         : series.kind == "window"   ? CounterKind::window
                                                     : CounterKind::gauge;
  summary.counter.is_virtual = series.is_virtual;
  summary.counter.is_integer = series.is_integer;
  summary.counter.refresh = series.refresh;
  summary.counter.help = series.help;
  summary.source = series.source;
  summary.count = stored.count;
  summary.absent = stored.absent;
  summary.sum = stored.sum.value_or(0);
  summary.min = stored.min.value_or(0);
  summary.max = stored.max.value_or(0);
  summary.first = stored.first.value_or(0);
  summary.last = stored.last.value_or(0);
  summary.begin = stored.begin.value_or(Nanoseconds(0));
  summary.end = stored.end.value_or(Nanoseconds(0));
  for (const GapRecord& gap : reader.gaps(series.id)) {
    const auto same = [&](const CounterSummary::Gap& known) { return known.reason == gap.reason; };
    auto known = std::find_if(summary.gaps.begin(), summary.gaps.end(), same);
    if (known == summary.gaps.end()) known = summary.gaps.insert(known, {.reason = gap.reason});
    known->readings += gap.ticks;
    known->time += gap.end - gap.begin;
    ++known->times;
  }
  return summary;
}

SamplerFigures sampler_figures(const SamplerRecord& record) {
  return {.source = record.source,
          .period = record.period,
          .ticks = record.ticks,
          .missed = record.missed,
          .dropped = record.dropped,
          .period_error_p50 = record.period_error_p50,
          .period_error_p99 = record.period_error_p99,
          .period_error_max = record.period_error_max,
          .call_p50 = record.call_p50,
          .call_p99 = record.call_p99,
          .call_max = record.call_max,
          .cpu_share = record.cpu_share};
}

}  // namespace

RecordingSummary read_recording_summary(const StoreReader& reader) {
  RecordingSummary summary;
  Nanoseconds begin = Nanoseconds::max(), end = Nanoseconds::min();
  for (const SeriesRecord& series : reader.series()) {
    CounterSummary counter = counter_summary(reader, series);
    if (counter.count > 0) {
      begin = std::min(begin, counter.begin);
      end = std::max(end, counter.end);
    }
    summary.counters.push_back(std::move(counter));
  }
  for (const SamplerRecord& sampler : reader.samplers()) summary.samplers.push_back(sampler_figures(sampler));
  std::vector<Phase> phases;
  for (const SessionRecord& session : reader.sessions())
    for (Phase& phase : reader.session_phases(session.id)) phases.push_back(std::move(phase));
  summary.phases = totals_of(phases);
  if (begin <= end) summary.elapsed = end - begin;
  return summary;
}

std::optional<ReadingSpan> reading_span(const StoreReader& reader, std::span<const SeriesRecord> series) {
  std::optional<ReadingSpan> span;
  for (const SeriesRecord& one : series) {
    const SeriesSummary summary = reader.summary(one.id);
    if (!summary.begin || !summary.end) continue;
    if (!span) span = {.begin = *summary.begin, .end = *summary.end};
    span->begin = std::min(span->begin, *summary.begin);
    span->end = std::max(span->end, *summary.end);
  }
  return span;
}

std::optional<RecordingInterval> recording_interval(const StoreReader& reader, const RecordingPart& part) {
  const auto whole = reading_span(reader, reader.series());
  if (!whole) return std::nullopt;
  const Nanoseconds zero = whole->begin;
  const RecordingInterval interval{
      .zero = zero, .begin = zero + part.from, .end = part.to ? std::min(zero + *part.to, whole->end) : whole->end};
  if (!part.is_whole() && interval.begin >= interval.end)
    throw InputError("--from, --to: the recording lasts {}; give a part of it", format_duration(whole->end - zero));
  return interval;
}

}  // namespace batchscope
