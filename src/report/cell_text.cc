// A cell's result as text (report/cell_text.h).
#include "report/cell_text.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "base/units.h"
#include "report/text.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

std::string headline(const JsonObject& result, bool colour) {
  const std::string status = result.text("status");
  std::string text = status == "ok" ? "ok" : status;
  for (char& c : text) c = c == '_' ? ' ' : c;
  if (status == "truncated")
    text = result.has("requests") ? "TRUNCATED: the prompts were cut" : "TRUNCATED: the questions were cut";
  if (status == "degraded") text = "DEGRADED: the answers are not the model's";
  if (colour) text = fmt::format("\x1b[{}m{}\x1b[0m", status == "ok" ? "32" : "31;1", text);
  if (const std::string reason = result.text("reason"); !reason.empty())
    text += "\n" + wrap(reason, terminal_columns, 0);
  if (maybe_boolean(result, "valid") == false) text += "\nnot valid as a measurement (see above)";
  if (result.has("warnings"))
    for (const std::string& warning : result.texts("warnings"))
      text += "\n" + wrap("WARNING: " + warning, terminal_columns, 0);
  return text + "\n";
}

std::string scores_line(const JsonObject& result) {
  if (!result.has("acc_norm")) return "";
  const auto share = [&](const char* key) { return percent_text(maybe_number(result, key)); };
  return fmt::format("accuracy  {} (95 %: {} to {}) by acc_norm\n          acc {}, acc_bytes {}{}\n", share("acc_norm"),
                     share("acc_norm_low"), share("acc_norm_high"), share("acc"), share("acc_bytes"),
                     result.has("acc_tokens") ? ", acc_tokens " + share("acc_tokens") : "");
}

// "step      p50 1.2 ms, p90 1.5 ms, p99 2.0 ms", of one of the result's objects of percentiles.
std::string percentiles_line(const JsonObject& result, const char* key, const char* title, const char* note = "") {
  if (!result.has(key)) return "";
  const JsonObject percentiles = result.object(key);
  const auto ms = [&](const char* share) { return milliseconds_text(maybe_number(percentiles, share)); };
  return fmt::format("{:<10}p50 {} ms, p90 {} ms, p99 {} ms{}\n", title, ms("p50"), ms("p90"), ms("p99"), note);
}

// Of a server's answers.
std::string served_lines(const JsonObject& served) {
  std::string text = percentiles_line(served, "request_ms", "request", "  from sending to the answer's end");
  if (const auto cached = maybe_integer(served, "cached_tokens"); cached && *cached > 0)
    text += fmt::format("cache     {} tokens of prompts came from the server's prefix cache\n", format_count(*cached));
  const JsonObject failures = served.object("failures");
  for (const auto& [what, count] : failures.value().items())
    text += fmt::format("failed    {} attempts: {}\n", format_count(failures.integer(what, 0, any_integer)), what);
  return text;
}

std::string time_lines(const JsonObject& result) {
  if (!result.has("seconds")) return "";
  const bool generates = result.has("requests");
  const auto count = [&](const char* key) { return format_count(maybe_integer(result, key).value_or(0)); };
  std::string text = fmt::format("time      {} s for {} {}", seconds_text(maybe_number(result, "seconds")),
                                 count(generates ? "requests" : "items"), generates ? "requests" : "items");
  if (result.has("batches")) text += fmt::format(" in {} {}", count("batches"), generates ? "steps" : "batches");
  if (const auto rate = maybe_number(result, "tokens_per_s")) text += fmt::format("; {:.0f} tokens/s", *rate);
  if (const auto load = maybe_number(result, "load_seconds"))
    text += fmt::format("; loaded in {} s", seconds_text(load));
  text += "\n";
  if (result.has("whole_task")) {
    const JsonObject whole = result.object("whole_task");
    const auto low = maybe_number(whole, "low");
    text += fmt::format("whole     {} s for all {} items", seconds_text(maybe_number(whole, "seconds")),
                        format_count(maybe_integer(whole, "items").value_or(0)));
    text +=
        low ? fmt::format(", 95 % {} to {} s\n", seconds_text(low), seconds_text(maybe_number(whole, "high"))) : "\n";
  }
  if (result.has("batch_ms") && result.object("batch_ms").has("p50"))
    text += percentiles_line(result, "batch_ms", generates ? "step" : "batch");
  if (result.has("served")) text += served_lines(result.object("served"));
  if (!generates) return text;
  text += fmt::format("output    {} tokens, {:.0f} per second\n", count("output_tokens"),
                      maybe_number(result, "output_tokens_per_s").value_or(0));
  return text + percentiles_line(result, "queue_ms", "queue", "  from arrival") +
         percentiles_line(result, "ttft_ms", "TTFT", "  from arrival to first token") +
         percentiles_line(result, "tpot_ms", "TPOT", "  for each further token") +
         percentiles_line(result, "latency_ms", "latency", "  from arrival to the last token");
}

std::string sentinel_line(const JsonObject& result) {
  const std::string text = sentinel_text(result);
  return text.empty() ? "" : wrap("sentinel  " + text, terminal_columns, 10) + "\n";
}

std::string tokens_line(const JsonObject& result) {
  const JsonObject tokens = result.object("tokens");
  const auto count = [&](const char* key) {
    const auto value = maybe_integer(tokens, key);
    return value ? format_count(*value) : std::string("?");
  };
  if (!tokens.has("computed")) return "";
  return fmt::format("tokens    {} requested, {} cut, {} computed, {} of padding\n", count("requested"),
                     count("truncated"), count("computed"), count("padding"));
}

std::string device_table(const nlohmann::json& devices, bool colour) {
  TextTable table({"device", "peak", "planned", "of", "TX", "RX", "compute", "comm", "idle"});
  bool any_virtual = false;
  std::string counted;
  for (const auto& json : devices) {
    const JsonObject device(json, "device");
    const JsonObject memory = device.object("memory"), busy = device.object("busy");
    std::optional<double> tx, rx;
    for (const auto& link : json.at("links")) {
      const JsonObject fields(link, "link");
      if (const auto bytes = maybe_number(fields, "counted_tx_bytes")) tx = tx.value_or(0) + *bytes;
      if (const auto bytes = maybe_number(fields, "counted_rx_bytes")) rx = rx.value_or(0) + *bytes;
    }
    const bool is_virtual = device.boolean("virtual");
    any_virtual = any_virtual || is_virtual;
    const auto capacity = maybe_number(memory, "capacity_bytes");
    const auto energy = maybe_number(device, "energy_j"), use = maybe_number(device, "utilisation");
    if (energy || use)
      counted += fmt::format("{}: {} J, in use {} of the time, by its own counters\n", device.text("name"),
                             energy ? fmt::format("{:.4g}", *energy) : "?", percent_text(use, 0));
    table.add({{device.text("name") + (is_virtual ? " *" : "")},
               {bytes_text(maybe_number(memory, "peak_bytes"))},
               {bytes_text(maybe_number(memory, "planned_bytes"))},
               {capacity ? bytes_text(capacity) : "no limit"},
               {json.at("links").empty() ? "-" : bytes_text(tx)},
               {json.at("links").empty() ? "-" : bytes_text(rx)},
               {percent_text(maybe_number(busy, "compute"), 0)},
               {percent_text(maybe_number(busy, "communicate"), 0)},
               {percent_text(maybe_number(busy, "idle"), 0)}});
  }
  if (table.empty()) return "";
  return table.print(colour) + counted + (any_virtual ? "* virtual: simulated on this machine's CPU, not a GPU\n" : "");
}

}  // namespace

std::string sentinel_text(const JsonObject& result) {
  if (!result.has("sentinel")) return "";
  const JsonObject sentinel = result.object("sentinel");
  if (sentinel.has("why_not")) return "not compared: " + sentinel.text("why_not");
  return fmt::format("{} of the first {} answers differ from those of {}; log-likelihoods by up to {:.3g}: {}",
                     maybe_integer(sentinel, "changed").value_or(0), maybe_integer(sentinel, "items").value_or(0),
                     sentinel.text("reference"), maybe_number(sentinel, "largest_difference").value_or(0),
                     sentinel.boolean("departs") ? "DEGRADED" : "as rounding explains");
}

std::string cell_text(const nlohmann::json& result, bool colour) {
  const JsonObject fields(result, "result");
  return headline(fields, colour) + scores_line(fields) + sentinel_line(fields) + time_lines(fields) +
         tokens_line(fields) + device_table(result.at("devices"), colour);
}

}  // namespace batchscope
