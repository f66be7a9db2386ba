// The page of a recording (report/page/study_page.h).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/units.h"
#include "report/page/html.h"
#include "report/page/page_series.h"
#include "report/page/page_tables.h"
#include "report/page/study_page.h"
#include "report/table_cells.h"

namespace batchscope {
namespace {

using Cell = TextTable::Cell;

Cell unit_cell(const std::optional<double>& value, const std::string& unit, bool a_second = false) {
  if (!value) return {""};
  if (unit == "bytes") return {format_bytes(*value) + (a_second ? "/s" : ""), Colour::none, value};
  if (unit == "ratio" || (unit == "seconds" && a_second)) return share_cell(value);
  if (unit == "seconds") return {seconds_text(value) + " s", Colour::none, value};
  return {fmt::format("{:.6g}{}", *value, a_second ? "/s" : ""), Colour::none, value};
}

std::string gaps_text(const CounterSummary& counter) {
  std::string text;
  for (const CounterSummary::Gap& gap : counter.gaps)
    text += fmt::format("{}{}: {} in {}", text.empty() ? "" : "; ", gap.reason,
                        gap.readings > 0 ? fmt::format("{} readings absent", gap.readings) : "increase unknown",
                        format_duration(gap.time));
  return text;
}

Section counters_section(const RecordingSummary& summary) {
  TextTable table({"counter", "of", "total", "rate or mean", "min", "max", "values", "absent", "gaps"});
  for (const CounterSummary& counter : summary.counters) {
    const std::string& unit = counter.counter.unit;
    const bool is_level = counter.counter.kind != CounterKind::cumulative && counter.count > 0;
    Cell total = counter.count == 0 ? Cell{"absent", Colour::yellow} : unit_cell(counter.total(), unit);
    if (counter.total() && !counter.total_is_complete()) total.text = ">= " + total.text;
    table.add({{counter.counter.name},
               {counter.counter.device + (counter.counter.is_virtual ? " (VIRTUAL)" : "")},
               total,
               counter.mean() ? unit_cell(counter.mean(), unit) : unit_cell(counter.rate_per_s(), unit, true),
               is_level ? unit_cell(counter.min, unit) : Cell{""},
               is_level ? unit_cell(counter.max, unit) : Cell{""},
               count_cell(counter.count),
               count_cell(counter.absent),
               {gaps_text(counter), Colour::yellow}});
  }
  return {"counters", "Every counter over the whole recording", std::move(table)};
}

// One stack of charts a session, from its first reading to its last; of a part what lies in it.
std::string session_series_html(const StoreReader& reader, const SessionRecord& session,
                                const std::optional<RecordingInterval>& part, SeriesNames& names) {
  const std::vector<SeriesRecord> series = reader.series(session.id);
  const auto whole = reading_span(reader, series);
  if (!whole) return "";
  const Nanoseconds begin = part ? std::max(whole->begin, part->begin) : whole->begin,
                    end = part ? std::min(whole->end, part->end) : whole->end;
  if (end <= begin) return "";
  const std::vector<Phase> phases = reader.session_phases(session.id);
  SeriesBudget budget = series_budget(1, static_cast<std::int64_t>(series.size()));
  const std::string id = fmt::format("series-session-{}", session.id);
  nlohmann::json json = interval_json(reader, series, phases, begin, end, budget, names);
  if (begin > whole->begin) json["since"] = to_seconds(begin - whole->begin);
  return fmt::format("<h3>Session {}: {}</h3>\n<div class=\"series at-once\" data-series=\"{}\"></div>\n", session.id,
                     html_text(session.verb), id) +
         script_json(id, json);
}

}  // namespace

Page recording_page(const RecordingSummary& summary, const StoreReader& reader, const RecordingPart& part) {
  const std::vector<SessionRecord> sessions = reader.sessions();
  Page page{.title = "recording of " + format_duration(summary.elapsed)};
  page.subtitle =
      origin_text(sessions.empty() ? std::map<std::string, std::string>{} : sessions.back().environment, sessions);
  if (std::any_of(summary.counters.begin(), summary.counters.end(),
                  [](const CounterSummary& counter) { return counter.counter.is_virtual; }))
    page.badges.push_back("VIRTUAL DEVICES");
  PagePart series{.id = "series", .title = "Over time"};
  SeriesNames names;
  const auto interval = part.is_whole() ? std::nullopt : recording_interval(reader, part);
  if (interval)
    series.title += fmt::format(", from {} to {}", format_duration(interval->begin - interval->zero),
                                format_duration(interval->end - interval->zero));
  for (const SessionRecord& session : sessions) series.html += session_series_html(reader, session, interval, names);
  if (!series.html.empty()) {
    series.html += script_json("series-names", names.json());
    page.parts.push_back(std::move(series));
  }
  page.parts.push_back({.id = "counters", .title = "Counters", .sections = {counters_section(summary)}});
  page.parts.push_back(origin_part(reader));
  return page;
}

}  // namespace batchscope
