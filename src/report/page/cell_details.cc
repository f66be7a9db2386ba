// The details of a cell (report/page/cell_details.h).
#include "report/page/cell_details.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/units.h"
#include "report/cell_text.h"
#include "report/page/cell_table.h"
#include "report/page/html.h"
#include "report/table_fields.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

using Field = TextTable::Field;

const char* status_class(const CellSummary& cell) {
  if (cell.status == "ok") return "";
  return cell.status == "out_of_memory" || cell.status == "not run" ? "warn" : "bad";
}

// The cell in one line; what is wrong with it stands in it.
std::string summary_line(const StudyReport& report, const CellSummary& cell) {
  std::string line = fmt::format("<b>{}, batch {}</b> <span class=\"{}\">{}</span>", html_text(report.label(cell)),
                                 cell.spec.run.batch, status_class(cell), html_text(status_words(cell.status)));
  if (cell.valid == false) line += " <span class=\"warn\">not valid as a measurement</span>";
  return line;
}

std::string titled(const char* title, const TextTable& table, const std::string& note = "") {
  if (table.empty()) return "";
  return fmt::format("<h4>{}</h4>\n{}", title, html_table(table, title, false)) +
         (note.empty() ? "" : fmt::format("<p class=\"note\">{}</p>\n", html_text(note)));
}

using Facts = std::vector<std::pair<std::string, std::string>>;

std::string facts_html(const char* title, const Facts& facts) {
  if (facts.empty()) return "";
  std::string out = fmt::format("<h4>{}</h4>\n<dl class=\"pairs\">", title);
  for (const auto& [name, value] : facts)
    out += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", html_text(name), html_prose(value));
  return out + "</dl>\n";
}

std::string repeats_text(const CellSummary& cell) {
  std::string text;
  for (const double seconds : cell.seconds) text += (text.empty() ? "" : ", ") + seconds_text(seconds);
  return text;
}

void add_percentiles(Facts& facts, const JsonObject& result, const char* key, const char* title) {
  if (!result.has(key)) return;
  const JsonObject percentiles = result.object(key);
  const auto ms = [&](const char* share) {
    const auto value = maybe_number(percentiles, share);
    return value ? fmt::format("{:.3g}", *value) : std::string("?");
  };
  facts.emplace_back(title, fmt::format("p50 {}, p90 {}, p99 {} ms", ms("p50"), ms("p90"), ms("p99")));
}

Facts time_facts(const CellSummary& cell, const JsonObject& result) {
  Facts facts;
  if (!cell.time) return facts;
  const auto& [mean, low, high] = *cell.time;
  facts.emplace_back("seconds",
                     low ? fmt::format("{} (95 %: {} to {})", seconds_text(mean), seconds_text(low), seconds_text(high))
                         : seconds_text(mean));
  if (cell.seconds.size() > 1) facts.emplace_back("each repeat", repeats_text(cell));
  const auto rate = maybe_number(result, "tokens_per_s");
  facts.emplace_back("tokens per second", rate ? fmt::format("{:.6g}", *rate) : "?");
  const bool generates = result.has("requests");
  add_percentiles(facts, result, "batch_ms", generates ? "a step" : "a batch");
  if (generates) {
    const auto requests = maybe_integer(result, "requests"), tokens = maybe_integer(result, "output_tokens");
    facts.emplace_back("generated", fmt::format("{} tokens for {} requests, {:.6g} per second",
                                                format_count(tokens.value_or(0)), format_count(requests.value_or(0)),
                                                maybe_number(result, "output_tokens_per_s").value_or(0)));
    add_percentiles(facts, result, "queue_ms", "time in the queue");
    add_percentiles(facts, result, "ttft_ms", "time to first token");
    add_percentiles(facts, result, "tpot_ms", "time per output token");
    add_percentiles(facts, result, "latency_ms", "from arrival to the last token");
  }
  if (result.has("served")) {
    const JsonObject served = result.object("served");
    add_percentiles(facts, served, "request_ms", "a request, from sending to the answer's end");
    add_percentiles(facts, served, "first_byte_ms", "until the answer's first byte");
    if (const auto retries = maybe_integer(served, "retries"); retries && *retries > 0)
      facts.emplace_back("requests sent again", format_count(*retries));
    if (const auto cached = maybe_integer(served, "cached_tokens"))
      facts.emplace_back("tokens from the server's prefix cache", format_count(*cached));
  }
  if (const auto load = maybe_number(result, "load_seconds")) facts.emplace_back("loading", seconds_text(load) + " s");
  return facts;
}

void add_accuracy(Facts& facts, const CellSummary& cell, const JsonObject& result) {
  if (!result.has("acc_norm")) return;
  const auto share = [&](const char* key) { return percent_text(maybe_number(result, key)); };
  facts.emplace_back("accuracy by acc_norm", fmt::format("{} (95 %: {} to {})", share("acc_norm"),
                                                         share("acc_norm_low"), share("acc_norm_high")));
  facts.emplace_back("other measures", fmt::format("acc {}, acc_bytes {}, acc_tokens {}", share("acc"),
                                                   share("acc_bytes"), share("acc_tokens")));
  if (const std::string sentinel = sentinel_text(result); !sentinel.empty()) facts.emplace_back("sentinel", sentinel);
  if (cell.paired)
    facts.emplace_back(
        "against the reference",
        fmt::format("{} of {} answers changed: {} correct lost, {} gained; p {:.3g}", cell.paired->changed,
                    cell.paired->items, cell.paired->lost, cell.paired->gained, cell.paired->p));
}

void add_tokens(Facts& facts, const JsonObject& result) {
  if (!result.has("tokens")) return;
  const JsonObject tokens = result.object("tokens");
  const auto count = [&](const char* key) {
    const auto value = maybe_integer(tokens, key);
    return value ? format_count(*value) : std::string("?");
  };
  facts.emplace_back("tokens", fmt::format("{} requested, {} cut, {} computed, {} of padding", count("requested"),
                                           count("truncated"), count("computed"), count("padding")));
}

std::string result_html(const CellSummary& cell) {
  if (!cell.result.is_object()) return "";
  const JsonObject result(cell.result, "result");
  Facts facts = time_facts(cell, result);
  add_accuracy(facts, cell, result);
  add_tokens(facts, result);
  return facts_html("Result", facts);
}

std::string plain_value(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// What is set, in the words of the result's own keys.
void add_settings(Facts& facts, const nlohmann::json& json, const std::string& prefix) {
  for (const auto& [key, value] : json.items()) {
    if (value.is_object())
      add_settings(facts, value, prefix + key + ".");
    else if (!value.is_null() && value != "")
      facts.emplace_back(prefix + key, plain_value(value));
  }
}

std::string environment_html(const StudyReport& report, const CellSummary& cell) {
  Facts facts;
  if (cell.result.is_object() && cell.result.contains("environment") && cell.result.at("environment").is_object())
    for (const auto& [key, value] : cell.result.at("environment").items()) {
      const auto same = report.environment.find(key);
      if (same == report.environment.end() || same->second != plain_value(value))
        facts.emplace_back(key, plain_value(value));
    }
  return facts_html("Environment, where it differs from the study's", facts);
}

TextTable device_table(const CellSummary& cell) {
  TextTable table({"device", "peak", "planned", "capacity", "computing", "communicating", "idle", "energy"});
  for (const DeviceRecord& device : cell.devices)
    table.add({{device.name + (device.is_virtual ? " (virtual)" : "")},
               bytes_field(as_double(device.peak_bytes)),
               bytes_field(as_double(device.planned_bytes)),
               bytes_field(as_double(device.capacity_bytes), "no limit"),
               share_field(device.busy_compute),
               share_field(device.busy_communicate),
               share_field(device.busy_idle),
               {device.energy_j ? fmt::format("{:.3g} J", *device.energy_j) : "?", Colour::none, device.energy_j}});
  return table;
}

TextTable link_table(const CellSummary& cell) {
  TextTable table({"devices", "link", "predicted", "counted", "link's own", "closure"});
  for (auto& row : traffic_rows(cell)) table.add(std::move(row));
  return table;
}

// One direction a row would double it: what a call sends is as a rule what it receives.
TextTable ledger_table(const CellSummary& cell) {
  TextTable table({"collective", "algorithm", "phase", "rank", "calls", "payload", "predicted TX", "counted TX",
                   "predicted RX", "counted RX", "closure"});
  for (const LedgerRecord& entry : cell.ledger) {
    const auto both = [](const std::optional<std::int64_t>& tx, const std::optional<std::int64_t>& rx) {
      return tx && rx ? std::optional(static_cast<double>(*tx) + static_cast<double>(*rx)) : std::nullopt;
    };
    const std::vector<Field> closing =
        closing_fields(both(entry.predicted_tx_bytes, entry.predicted_rx_bytes),
                       both(entry.counted_tx_bytes, entry.counted_rx_bytes), std::nullopt);
    table.add({{entry.collective},
               {entry.algorithm},
               {entry.phase},
               count_field(entry.rank),
               count_field(entry.calls),
               bytes_field(static_cast<double>(entry.payload_bytes)),
               bytes_field(as_double(entry.predicted_tx_bytes)),
               bytes_field(as_double(entry.counted_tx_bytes)),
               bytes_field(as_double(entry.predicted_rx_bytes)),
               bytes_field(as_double(entry.counted_rx_bytes)),
               closing.back()});
  }
  return table;
}

std::string changed_html(const CellSummary& cell, std::size_t most) {
  TextTable table({"item", "right", "reference", "here", "what"});
  for (std::size_t i = 0; i < std::min(cell.changed.size(), most); ++i) {
    const ChangedItem& item = cell.changed[i];
    const char* what = item.reference == item.gold ? "lost" : item.here == item.gold ? "gained" : "wrong both times";
    table.add({{item.id_json}, count_field(item.gold), count_field(item.reference), count_field(item.here), {what}});
  }
  const std::string note = cell.changed.size() > most
                               ? fmt::format("{} of {}; `report --json` has all of them", most, cell.changed.size())
                               : "";
  return titled("Answers that differ from the reference's", table, note);
}

// Where the time went, by name; tracks of one name together.
std::string phases_html(std::span<const Phase> phases) {
  struct Total {
    std::int64_t count = 0;
    double seconds = 0, longest = 0;
  };
  std::map<std::pair<std::string, std::string>, Total> totals;
  for (const Phase& phase : phases) {
    Total& total = totals[{phase.name, phase.track}];
    const double seconds = to_seconds(phase.end - phase.begin);
    ++total.count;
    total.seconds += seconds;
    total.longest = std::max(total.longest, seconds);
  }
  TextTable table({"phase", "of", "times", "seconds", "longest"});
  for (const auto& [key, total] : totals)
    table.add({{key.first},
               {key.second},
               count_field(total.count),
               seconds_field(total.seconds),
               {format_duration(from_seconds(total.longest)), Colour::none, total.longest}});
  return titled("Phases", table);
}

}  // namespace

std::string cell_details_html(const StudyReport& report, std::size_t index, std::span<const Phase> phases,
                              std::size_t most_items) {
  const CellSummary& cell = report.cells[index];
  const std::string anchor = cell_anchor(index);
  std::string out =
      fmt::format("<details class=\"cell\" id=\"{}\">\n<summary>{}</summary>\n<div class=\"cell-body\">\n", anchor,
                  summary_line(report, cell));
  if (!cell.reason.empty())
    out += fmt::format("<p class=\"reason {}\">{}</p>\n", status_class(cell), html_text(cell.reason));
  Facts settings;
  add_settings(settings, to_json(cell.spec), "");
  out += result_html(cell) + fmt::format("<div class=\"series\" data-series=\"series-{}\"></div>\n", anchor);
  out += titled("Devices", device_table(cell)) + titled("Links, three ways", link_table(cell)) +
         titled("Ledger of the collectives", ledger_table(cell)) + changed_html(cell, most_items) +
         phases_html(phases) + facts_html("Settings", settings) + environment_html(report, cell);
  return out + "</div></details>\n";
}

}  // namespace batchscope
