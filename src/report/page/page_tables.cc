// Where a file's numbers come from (report/page/page_tables.h).
#include "report/page/page_tables.h"

#include <fmt/format.h>

#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "base/units.h"
#include "report/recording/recording_report.h"
#include "report/table_fields.h"
#include "report/text.h"

namespace batchscope {
namespace {

using Field = TextTable::Field;

Section sessions_section(const std::vector<SessionRecord>& sessions) {
  TextTable table({"session", "verb", "started", "seconds"});
  for (const SessionRecord& session : sessions) {
    const auto seconds =
        session.ended_unix_s ? std::optional(*session.ended_unix_s - session.started_unix_s) : std::nullopt;
    table.add({count_field(session.id),
               {session.verb},
               {utc_text(session.started_unix_s), Colour::none, session.started_unix_s},
               seconds ? seconds_field(seconds) : Field{"not ended", Colour::dim}});
  }
  return {"sessions", "Sessions", std::move(table)};
}

// A row a fact; a column a session, those alike together.
Section environment_section(const std::vector<SessionRecord>& sessions) {
  std::vector<std::pair<std::string, const SessionRecord*>> columns;
  std::set<std::string> facts;
  for (const SessionRecord& session : sessions) {
    for (const auto& [fact, value] : session.environment) facts.insert(fact);
    bool is_known = false;
    for (auto& [name, other] : columns)
      if (other->environment == session.environment) {
        name += fmt::format(", {}", session.id);
        is_known = true;
      }
    if (!is_known) columns.emplace_back(fmt::format("session {}", session.id), &session);
  }
  std::vector<std::string> header{"fact"};
  for (const auto& [name, session] : columns) header.push_back(name);
  TextTable table(header);
  for (const std::string& fact : facts) {
    std::vector<Field> row{{fact}};
    std::set<std::string> values;
    for (const auto& [name, session] : columns) {
      const auto found = session->environment.find(fact);
      row.push_back({found == session->environment.end() ? "?" : found->second});
      values.insert(row.back().text);
    }
    if (values.size() > 1)
      for (Field& field : row) field.colour = Colour::yellow;
    table.add(std::move(row));
  }
  return {"environment", "Program and machine", std::move(table)};
}

Section samplers_section(const std::vector<SamplerRecord>& samplers) {
  TextTable table({"source", "session", "period", "readings", "missed", "lost", "late p50", "late p99", "late max",
                   "call p99", "of one core"});
  const auto time_field = [](const std::optional<Nanoseconds>& time) -> Field {
    if (!time) return {"?"};
    return {format_duration(*time), Colour::none, to_seconds(*time)};
  };
  for (const SamplerRecord& sampler : samplers)
    table.add({{sampler.source},
               count_field(sampler.session),
               time_field(sampler.period),
               count_field(sampler.ticks),
               count_field(sampler.missed),
               count_field(sampler.dropped),
               time_field(sampler.period_error_p50),
               time_field(sampler.period_error_p99),
               time_field(sampler.period_error_max),
               time_field(sampler.call_p99),
               share_field(sampler.cpu_share, 2)});
  return {"sampling", "How counters were read", std::move(table)};
}

}  // namespace

std::string origin_text(const std::map<std::string, std::string>& environment,
                        std::span<const SessionRecord> sessions) {
  std::string text = "batchscope";
  const auto add = [&](const char* fact, const char* before, const char* after) {
    const auto found = environment.find(fact);
    if (found != environment.end()) text += before + found->second + after;
  };
  add("batchscope_version", " ", "");
  add("host", ", ", "");
  add("cpu_model", ", ", "");
  add("cpus_usable", ", ", " CPUs");
  if (!sessions.empty()) text += ", " + utc_text(sessions.front().started_unix_s);
  return text;
}

PagePart origin_part(const StoreReader& reader) {
  const std::vector<SessionRecord> sessions = reader.sessions();
  PagePart part{.id = "origin", .title = "Environment"};
  for (Section& section :
       std::vector{environment_section(sessions), sessions_section(sessions), samplers_section(reader.samplers())})
    if (!section.table->empty()) part.sections.push_back(std::move(section));
  return part;
}

}  // namespace batchscope
