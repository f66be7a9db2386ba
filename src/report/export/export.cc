// The tables that can be exported (report/export/export.h): columns and how their rows are read.
#include "report/export/export.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "report/export/export_samples.h"
#include "study/axes.h"

namespace batchscope {
namespace {

using nlohmann::json;
using Columns = std::span<const std::string_view>;

// An attempt and the names by which people know it.
struct NamedAttempt {
  const AttemptRecord& attempt;
  const CellRecord& cell;
  std::string_view study;
};

// Cells with their attempts, in the order of the grid; an attempt less one for a cell that was never run.
void each_cell(
    const StoreReader& reader,
    const std::function<void(std::string_view study, const CellRecord&, std::span<const AttemptRecord>)>& take) {
  for (const StudyRecord& study : reader.studies())
    for (const CellRecord& cell : reader.cells(study.id)) take(study.name, cell, reader.attempts(cell.id));
}

void each_attempt(const StoreReader& reader, const std::function<void(const NamedAttempt&)>& take) {
  each_cell(reader, [&](std::string_view study, const CellRecord& cell, std::span<const AttemptRecord> attempts) {
    for (const AttemptRecord& attempt : attempts) take({attempt, cell, study});
  });
}

// What a column of `cells` shows of the cell's settings, or of its result: a place in their JSON.
struct JsonColumn {
  std::string name, place;
};

// What names the cell, and its axes.
const std::vector<JsonColumn>& settings() {
  static const std::vector<JsonColumn> columns = [] {
    std::vector<JsonColumn> all{{"strategy", "/strategy"}, {"repeat", "/repeat"}};
    for (const Axis& axis : axes()) {
      if (axis.parts.empty()) all.push_back({axis.column, "/spec" + axis.json});
      for (const std::string part : axis.parts)
        all.push_back({axis.column + "_" + part, "/spec" + axis.json + "/" + part});
    }
    return all;
  }();
  return columns;
}

const std::vector<JsonColumn> results{
    {"items", "/items"},
    {"acc", "/acc"},
    {"acc_stderr", "/acc_stderr"},
    {"acc_norm", "/acc_norm"},
    {"acc_norm_stderr", "/acc_norm_stderr"},
    {"acc_norm_low", "/acc_norm_low"},
    {"acc_norm_high", "/acc_norm_high"},
    {"acc_bytes", "/acc_bytes"},
    {"acc_tokens", "/acc_tokens"},
    {"tokens_requested", "/tokens/requested"},
    {"tokens_truncated", "/tokens/truncated"},
    {"tokens_computed", "/tokens/computed"},
    {"tokens_padding", "/tokens/padding"},
    {"batches", "/batches"},
    {"batch_ms_p50", "/batch_ms/p50"},
    {"batch_ms_p90", "/batch_ms/p90"},
    {"batch_ms_p99", "/batch_ms/p99"},
    {"request_ms_p50", "/served/request_ms/p50"},
    {"request_ms_p90", "/served/request_ms/p90"},
    {"request_ms_p99", "/served/request_ms/p99"},
    {"requests_sent_again", "/served/retries"},
    {"cached_tokens", "/served/cached_tokens"},
    {"tokens_per_s", "/tokens_per_s"},
    {"time_to_first_token_ms", "/time_to_first_token_ms"},
    {"time_per_output_token_ms", "/time_per_output_token_ms"},
    {"requests", "/requests"},
    {"output_tokens", "/output_tokens"},
    {"output_tokens_per_s", "/output_tokens_per_s"},
    {"ttft_ms_p50", "/ttft_ms/p50"},
    {"ttft_ms_p90", "/ttft_ms/p90"},
    {"ttft_ms_p99", "/ttft_ms/p99"},
    {"tpot_ms_p50", "/tpot_ms/p50"},
    {"tpot_ms_p90", "/tpot_ms/p90"},
    {"tpot_ms_p99", "/tpot_ms/p99"},
    {"queue_ms_p50", "/queue_ms/p50"},
    {"queue_ms_p90", "/queue_ms/p90"},
    {"queue_ms_p99", "/queue_ms/p99"},
    {"latency_ms_p50", "/latency_ms/p50"},
    {"latency_ms_p90", "/latency_ms/p90"},
    {"latency_ms_p99", "/latency_ms/p99"},
};

constexpr std::array<std::string_view, 13> attempt_columns{
    "study",          "key",          "attempt",  "session", "status",  "valid",       "reason",
    "started_unix_s", "ended_unix_s", "begin_ns", "end_ns",  "seconds", "load_seconds"};

const std::vector<std::string_view>& cell_columns() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all(attempt_columns.begin(), attempt_columns.end());
    for (const JsonColumn& column : settings()) all.push_back(column.name);
    for (const JsonColumn& column : results) all.push_back(column.name);
    return all;
  }();
  return names;
}

// A number, text or truth; anything else is unknown. Texts are the value's own.
ExportValue scalar(const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())
    return value.get<double>();
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return std::string_view(value.get_ref<const std::string&>());
  return {};
}

// Of an item or a request; as it stands in the file where that is not what it should be.
ExportValue id_value(const json& id, const std::string& text) {
  return id.is_string() || id.is_number_integer() ? scalar(id) : ExportValue(text);
}

ExportValue value_at(const json& object, const std::string& place) {
  const json::json_pointer pointer(place);
  return object.contains(pointer) ? scalar(object[pointer]) : ExportValue();
}

void write_cell(RowWriter& out, std::string_view study, const CellRecord& cell, const AttemptRecord* attempt) {
  const json spec = json::parse(cell.spec_json, nullptr, false);
  const json result = attempt != nullptr ? json::parse(attempt->result_json, nullptr, false) : json();
  std::vector<ExportValue> row{study, cell.key};
  if (attempt != nullptr)
    row.insert(row.end(), {attempt->number, attempt->session, attempt->status, attempt->valid, attempt->reason,
                           attempt->started_unix_s, attempt->ended_unix_s, attempt->begin, attempt->end,
                           attempt->seconds, attempt->load_seconds});
  row.resize(attempt_columns.size());
  for (const JsonColumn& column : settings()) row.push_back(value_at(spec, column.place));
  for (const JsonColumn& column : results) row.push_back(value_at(result, column.place));
  out.row(row);
}

void write_cells(const StoreReader& reader, RowWriter& out) {
  each_cell(reader, [&](std::string_view study, const CellRecord& cell, std::span<const AttemptRecord> attempts) {
    if (attempts.empty()) write_cell(out, study, cell, nullptr);
    for (const AttemptRecord& attempt : attempts) write_cell(out, study, cell, &attempt);
  });
}

constexpr std::array<std::string_view, 13> item_columns{"study",     "key",        "attempt",    "position",  "id",
                                                        "gold",      "ll",         "tokens",     "truncated", "pred",
                                                        "pred_norm", "pred_bytes", "pred_tokens"};

void write_items(const StoreReader& reader, RowWriter& out) {
  each_attempt(reader, [&](const NamedAttempt& named) {
    std::int64_t position = 0;
    for (const ItemRecord& item : reader.items(named.attempt.id)) {
      const json id = json::parse(item.id_json, nullptr, false);
      const std::string ll = json(item.log_likelihoods).dump(), tokens = json(item.tokens).dump();
      out.row({named.study, named.cell.key, named.attempt.number, position++, id_value(id, item.id_json), item.gold,
               RawJson{ll}, RawJson{tokens}, item.truncated, item.prediction, item.prediction_norm,
               item.prediction_bytes, item.prediction_tokens});
    }
  });
}

constexpr std::array<std::string_view, 12> request_columns{"study", "key",           "attempt",       "position",
                                                           "id",    "arrival_s",     "admitted_s",    "first_token_s",
                                                           "end_s", "prompt_tokens", "output_tokens", "truncated"};

void write_requests(const StoreReader& reader, RowWriter& out) {
  each_attempt(reader, [&](const NamedAttempt& named) {
    std::int64_t position = 0;
    for (const RequestRecord& request : reader.requests(named.attempt.id)) {
      const json id = json::parse(request.id_json, nullptr, false);
      out.row({named.study, named.cell.key, named.attempt.number, position++, id_value(id, request.id_json),
               request.arrival_s, request.admitted_s, request.first_token_s, request.end_s, request.prompt_tokens,
               request.output_tokens, request.truncated});
    }
  });
}

constexpr std::array<std::string_view, 13> device_columns{
    "study",         "key",        "attempt",      "position",         "device",    "is_virtual", "capacity_bytes",
    "planned_bytes", "peak_bytes", "busy_compute", "busy_communicate", "busy_idle", "energy_j"};

void write_devices(const StoreReader& reader, RowWriter& out) {
  each_attempt(reader, [&](const NamedAttempt& named) {
    std::int64_t position = 0;
    for (const DeviceRecord& device : reader.devices(named.attempt.id))
      out.row({named.study, named.cell.key, named.attempt.number, position++, device.name, device.is_virtual,
               device.capacity_bytes, device.planned_bytes, device.peak_bytes, device.busy_compute,
               device.busy_communicate, device.busy_idle, device.energy_j});
  });
}

constexpr std::array<std::string_view, 11> link_columns{"study",
                                                        "key",
                                                        "attempt",
                                                        "device",
                                                        "kind",
                                                        "predicted_tx_bytes",
                                                        "predicted_rx_bytes",
                                                        "counted_tx_bytes",
                                                        "counted_rx_bytes",
                                                        "link_tx_bytes",
                                                        "link_rx_bytes"};

void write_links(const StoreReader& reader, RowWriter& out) {
  each_attempt(reader, [&](const NamedAttempt& named) {
    for (const DeviceRecord& device : reader.devices(named.attempt.id))
      for (const LinkRecord& link : device.links)
        out.row({named.study, named.cell.key, named.attempt.number, device.name, link.kind, link.predicted_tx_bytes,
                 link.predicted_rx_bytes, link.counted_tx_bytes, link.counted_rx_bytes, link.link_tx_bytes,
                 link.link_rx_bytes});
  });
}

constexpr std::array<std::string_view, 13> ledger_columns{"study",
                                                          "key",
                                                          "attempt",
                                                          "rank",
                                                          "collective",
                                                          "algorithm",
                                                          "phase",
                                                          "calls",
                                                          "payload_bytes",
                                                          "predicted_tx_bytes",
                                                          "predicted_rx_bytes",
                                                          "counted_tx_bytes",
                                                          "counted_rx_bytes"};

void write_ledger(const StoreReader& reader, RowWriter& out) {
  each_attempt(reader, [&](const NamedAttempt& named) {
    for (const LedgerRecord& entry : reader.ledger(named.attempt.id))
      out.row({named.study, named.cell.key, named.attempt.number, entry.rank, entry.collective, entry.algorithm,
               entry.phase, entry.calls, entry.payload_bytes, entry.predicted_tx_bytes, entry.predicted_rx_bytes,
               entry.counted_tx_bytes, entry.counted_rx_bytes});
  });
}

constexpr std::array<std::string_view, 12> phase_columns{
    "session",  "study",  "key",   "attempt",         "name",           "track",
    "begin_ns", "end_ns", "clock", "clock_offset_ns", "clock_error_ns", "detail"};

void write_phases(const StoreReader& reader, RowWriter& out) {
  const auto write = [&](std::int64_t session, ExportValue study, ExportValue key, ExportValue attempt,
                         const std::vector<Phase>& phases) {
    for (const Phase& phase : phases)
      out.row({session, study, key, attempt, phase.name, phase.track, phase.begin, phase.end, phase.clock,
               phase.clock_offset, phase.clock_error, phase.detail});
  };
  for (const SessionRecord& session : reader.sessions())
    write(session.id, {}, {}, {}, reader.session_phases(session.id));
  each_attempt(reader, [&](const NamedAttempt& named) {
    write(named.attempt.session, named.study, named.cell.key, named.attempt.number, reader.phases(named.attempt.id));
  });
}

// Studies with the searches for their largest batches.
void each_frontier(const StoreReader& reader,
                   const std::function<void(std::string_view study, const FrontierRecord&)>& take) {
  for (const StudyRecord& study : reader.studies())
    for (const FrontierRecord& frontier : reader.frontiers(study.id)) take(study.name, frontier);
}

constexpr std::array<std::string_view, 5> frontier_columns{"study", "strategy", "largest_ran", "largest_plan",
                                                           "reason"};

void write_frontiers(const StoreReader& reader, RowWriter& out) {
  each_frontier(reader, [&](std::string_view study, const FrontierRecord& frontier) {
    out.row({study, frontier.strategy, frontier.largest_ran, frontier.largest_plan, frontier.reason});
  });
}

constexpr std::array<std::string_view, 6> try_columns{"study", "strategy", "position", "batch", "status", "reason"};

void write_tries(const StoreReader& reader, RowWriter& out) {
  each_frontier(reader, [&](std::string_view study, const FrontierRecord& frontier) {
    std::int64_t position = 0;
    for (const FrontierRecord::Try& one : frontier.tries)
      out.row({study, frontier.strategy, position++, one.batch, one.status, one.reason});
  });
}

constexpr std::array<std::string_view, 5> session_columns{"session", "verb", "started_unix_s", "ended_unix_s",
                                                          "monotonic_zero_unix_ns"};

void write_sessions(const StoreReader& reader, RowWriter& out) {
  for (const SessionRecord& session : reader.sessions())
    out.row({session.id, session.verb, session.started_unix_s, session.ended_unix_s, session.monotonic_zero_unix});
}

constexpr std::array<std::string_view, 3> environment_columns{"session", "key", "value"};

void write_environment(const StoreReader& reader, RowWriter& out) {
  for (const SessionRecord& session : reader.sessions())
    for (const auto& [key, value] : session.environment) out.row({session.id, key, value});
}

constexpr std::array<std::string_view, 19> series_columns{
    "series", "session", "name",   "device", "unit", "kind",  "source", "is_virtual", "modulus", "refresh_ns",
    "help",   "count",   "absent", "min",    "max",  "first", "last",   "begin_ns",   "end_ns"};

void write_series(const StoreReader& reader, RowWriter& out) {
  for (const SeriesRecord& series : reader.series()) {
    const SeriesSummary summary = reader.summary(series.id);
    out.row({series.id, series.session, series.name, series.device, series.unit, series.kind, series.source,
             series.is_virtual, series.modulus, series.refresh, series.help, summary.count, summary.absent, summary.min,
             summary.max, summary.first, summary.last, summary.begin, summary.end});
  }
}

constexpr std::array<std::string_view, 9> sample_columns{"session",   "series",   "name",    "device", "unit",
                                                         "before_ns", "after_ns", "unix_ns", "value"};

std::optional<Nanoseconds> sum(Nanoseconds a, Nanoseconds b) {
  std::int64_t result = 0;
  if (__builtin_add_overflow(a.count(), b.count(), &result)) return std::nullopt;
  return Nanoseconds(result);
}

void write_samples(const StoreReader& reader, RowWriter& out) {
  for (const SessionRecord& session : reader.sessions())
    for (const SeriesRecord& series : reader.series(session.id))
      each_portion(reader, series, [&](const SampleSeries& samples) {
        for (std::size_t i = 0; i < samples.size(); ++i)
          out.row({session.id, series.id, series.name, series.device, series.unit, samples.before[i], samples.after[i],
                   sum(samples.before[i], session.monotonic_zero_unix),
                   series.is_integer ? ExportValue(samples.integers[i]) : ExportValue(samples.reals[i])});
      });
}

constexpr std::array<std::string_view, 8> gap_columns{"session",  "series", "name",  "device",
                                                      "begin_ns", "end_ns", "ticks", "reason"};

void write_gaps(const StoreReader& reader, RowWriter& out) {
  for (const SeriesRecord& series : reader.series())
    for (const GapRecord& gap : reader.gaps(series.id))
      out.row({series.session, series.id, series.name, series.device, gap.begin, gap.end, gap.ticks, gap.reason});
}

constexpr std::array<std::string_view, 13> sampler_columns{"session",
                                                           "source",
                                                           "period_ns",
                                                           "ticks",
                                                           "missed",
                                                           "dropped",
                                                           "period_error_p50_ns",
                                                           "period_error_p99_ns",
                                                           "period_error_max_ns",
                                                           "call_p50_ns",
                                                           "call_p99_ns",
                                                           "call_max_ns",
                                                           "cpu_share"};

void write_samplers(const StoreReader& reader, RowWriter& out) {
  for (const SamplerRecord& sampler : reader.samplers())
    out.row({sampler.session, sampler.source, sampler.period, sampler.ticks, sampler.missed, sampler.dropped,
             sampler.period_error_p50, sampler.period_error_p99, sampler.period_error_max, sampler.call_p50,
             sampler.call_p99, sampler.call_max, sampler.cpu_share});
}

}  // namespace

std::span<const ExportTable> export_tables() {
  static const std::array tables{
      ExportTable{"cells", "an attempt at a cell, or a cell without one: settings and result", cell_columns(), write_cells},
      ExportTable{"items", "a question of an attempt", item_columns, write_items},
      ExportTable{"requests", "a request of an attempt that generated", request_columns, write_requests},
      ExportTable{"devices", "a device of an attempt", device_columns, write_devices},
      ExportTable{"links", "a link of a device of an attempt", link_columns, write_links},
      ExportTable{"ledger", "collectives of one kind by one rank", ledger_columns, write_ledger},
      ExportTable{"phases", "a named interval", phase_columns, write_phases},
      ExportTable{"frontiers", "a strategy's largest batch", frontier_columns, write_frontiers},
      ExportTable{"frontier_tries", "a batch tried for it", try_columns, write_tries},
      ExportTable{"sessions", "a run of the program", session_columns, write_sessions},
      ExportTable{"environment", "a fact of a session", environment_columns, write_environment},
      ExportTable{"series", "a counter of a device in a session", series_columns, write_series},
      ExportTable{"samples", "a value of a series", sample_columns, write_samples},
      ExportTable{"gaps", "a time without values", gap_columns, write_gaps},
      ExportTable{"samplers", "what a sampling thread says of itself", sampler_columns, write_samplers},
  };
  return tables;
}

void export_table(const StoreReader& reader, const ExportTable& table, RowFormat format, const ByteSink& out) {
  BufferedOutput buffered(out);
  RowWriter rows(format, table.columns, buffered);
  table.write(reader, rows);
  buffered.flush();
}

}  // namespace batchscope
