// A recording's summary from its file (report/recording/recording_report.h).
#include "report/recording/recording_report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/units.h"
#include "report/recording/recording_json.h"
#include "report/wrap_text.h"

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

RecordingSummary read_summary(const StoreReader& reader, std::int64_t session) {
  RecordingSummary summary;
  Nanoseconds begin = Nanoseconds::max(), end = Nanoseconds::min();
  for (const SeriesRecord& series : reader.series(session)) {
    CounterSummary counter = counter_summary(reader, series);
    if (counter.count > 0) {
      begin = std::min(begin, counter.begin);
      end = std::max(end, counter.end);
    }
    summary.counters.push_back(std::move(counter));
  }
  for (const SamplerRecord& sampler : reader.samplers(session)) summary.samplers.push_back(sampler_figures(sampler));
  summary.phases = totals_of(reader.session_phases(session));
  if (begin <= end) summary.elapsed = end - begin;
  return summary;
}

std::string host_of(const SessionRecord& session) {
  const auto host = session.environment.find("host");
  return host == session.environment.end() ? "unknown host" : host->second;
}

[[noreturn]] void refuse_session(const StoreReader& reader, std::int64_t wanted) {
  std::string known;
  for (const SessionRecord& session : reader.sessions())
    known += fmt::format("{}{} ({}, {})", known.empty() ? "" : ", ", session.id, host_of(session), session.verb);
  throw InputError("--session {}: {} has no such session; it has {}", wanted, reader.path().string(),
                   known.empty() ? "none" : known);
}

}  // namespace

std::string utc_text(double unix_s) {
  constexpr double year_9999 = 253'402'300'799;
  if (!(unix_s >= 0) || unix_s > year_9999) return "?";
  return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(static_cast<std::time_t>(unix_s)));
}

std::string RecordedSession::title() const {
  return fmt::format("Session {}: {}, {}, {}, {}", session.id, host_of(session), session.verb,
                     utc_text(session.started_unix_s), format_duration(summary.elapsed));
}

std::vector<RecordedSession> read_recorded_sessions(const StoreReader& reader, std::optional<std::int64_t> wanted) {
  std::vector<RecordedSession> out, empty;
  for (const SessionRecord& session : reader.sessions()) {
    if (wanted && session.id != *wanted) continue;
    RecordedSession recorded{.session = session, .summary = read_summary(reader, session.id)};
    const bool has_any = !recorded.summary.counters.empty() || !recorded.summary.phases.empty();
    (has_any || wanted ? out : empty).push_back(std::move(recorded));
  }
  if (wanted && out.empty()) refuse_session(reader, *wanted);
  if (out.empty() && !empty.empty()) out.push_back(std::move(empty.back()));
  return out;
}

std::string to_text(std::span<const RecordedSession> sessions, bool colours, SummaryDetail detail) {
  if (sessions.size() == 1) return to_text(sessions[0].summary, colours, detail);
  std::string out;
  for (const RecordedSession& recorded : sessions) {
    out += wrap_text(fmt::format("{}", recorded.title()), out.empty() ? "" : "\n", "  ");
    out += to_text(recorded.summary, colours, detail);
  }
  return out;
}

nlohmann::json to_json(std::span<const RecordedSession> sessions) {
  if (sessions.size() == 1) return to_json(sessions[0].summary);
  nlohmann::json all = nlohmann::json::array();
  for (const RecordedSession& recorded : sessions) {
    nlohmann::json json = to_json(recorded.summary);
    json["session"] = recorded.session.id;
    json["host"] = host_of(recorded.session);
    json["verb"] = recorded.session.verb;
    json["started_unix_s"] = recorded.session.started_unix_s;
    all.push_back(std::move(json));
  }
  return {{"sessions", all}};
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

std::optional<RecordingInterval> recording_interval(const StoreReader& reader, std::int64_t session,
                                                    const RecordingPart& part) {
  const auto whole = reading_span(reader, reader.series(session));
  if (!whole) return std::nullopt;
  const Nanoseconds zero = whole->begin;
  const RecordingInterval interval{
      .zero = zero, .begin = zero + part.from, .end = part.to ? std::min(zero + *part.to, whole->end) : whole->end};
  if (!part.is_whole() && interval.begin >= interval.end)
    throw InputError("--from, --to: the recording lasts {}; give a part of it", format_duration(whole->end - zero));
  return interval;
}

}  // namespace batchscope
