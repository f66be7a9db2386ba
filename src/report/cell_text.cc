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
    text = result.has("requests") ? "TRUNCATED: the prompts were cut" : "TRUNCATED: the scores are of cut questions";
  if (colour) text = fmt::format("\x1b[{}m{}\x1b[0m", status == "ok" ? "32" : "31;1", text);
  if (const std::string reason = result.text("reason"); !reason.empty())
    text += "\n" + wrap(reason, terminal_columns, 0);
  if (maybe_boolean(result, "valid") == false) text += "\nnot valid as a measurement (see above)";
  return text + "\n";
}

std::string scores_line(const JsonObject& result) {
  if (!result.has("acc_norm")) return "";
  const auto share = [&](const char* key) { return percent_text(maybe_number(result, key)); };
  return fmt::format("accuracy  {} (95 %: {} to {}) by acc_norm\n          acc {}, acc_bytes {}, acc_tokens {}\n",
                     share("acc_norm"), share("acc_norm_low"), share("acc_norm_high"), share("acc"), share("acc_bytes"),
                     share("acc_tokens"));
}

// "step      p50 1.2 ms, p90 1.5 ms, p99 2.0 ms", of one of the result's objects of percentiles.
std::string percentiles_line(const JsonObject& result, const char* key, const char* title, const char* note = "") {
  if (!result.has(key)) return "";
  const JsonObject percentiles = result.object(key);
  const auto ms = [&](const char* share) { return milliseconds_text(maybe_number(percentiles, share)); };
  return fmt::format("{:<10}p50 {} ms, p90 {} ms, p99 {} ms{}\n", title, ms("p50"), ms("p90"), ms("p99"), note);
}

std::string time_lines(const JsonObject& result) {
  if (!result.has("seconds")) return "";
  const bool generates = result.has("requests");
  const auto count = [&](const char* key) { return format_count(maybe_integer(result, key).value_or(0)); };
  std::string text =
      fmt::format("time      {} s for {} {} in {} {}; {:.0f} tokens/s; loaded in {} s\n",
                  seconds_text(maybe_number(result, "seconds")), count(generates ? "requests" : "items"),
                  generates ? "requests" : "items", count("batches"), generates ? "steps" : "batches",
                  maybe_number(result, "tokens_per_s").value_or(0), seconds_text(maybe_number(result, "load_seconds")));
  text += percentiles_line(result, "batch_ms", generates ? "step" : "batch");
  if (!generates) return text;
  text += fmt::format("output    {} tokens, {:.0f} a second\n", count("output_tokens"),
                      maybe_number(result, "output_tokens_per_s").value_or(0));
  return text + percentiles_line(result, "queue_ms", "queue", "  from arrival") +
         percentiles_line(result, "ttft_ms", "TTFT", "  from arrival to first token") +
         percentiles_line(result, "tpot_ms", "TPOT", "  of each further token") +
         percentiles_line(result, "latency_ms", "latency", "  from arrival to the end");
}

std::string tokens_line(const JsonObject& result) {
  const JsonObject tokens = result.object("tokens");
  const auto count = [&](const char* key) {
    const auto value = maybe_integer(tokens, key);
    return value ? format_count(*value) : std::string("?");
  };
  if (!tokens.has("computed")) return "";
  return fmt::format("tokens    {} asked for, {} cut, {} computed, {} padding on top\n", count("requested"),
                     count("truncated"), count("computed"), count("padding"));
}

std::string device_table(const nlohmann::json& devices, bool colour) {
  TextTable table({"device", "peak", "planned", "of", "TX", "RX", "compute", "comm", "idle"});
  bool any_virtual = false;
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
  return table.print(colour) + (any_virtual ? "* virtual: simulated on this machine's CPU, not a GPU\n" : "");
}

}  // namespace

std::string cell_text(const nlohmann::json& result, bool colour) {
  const JsonObject fields(result, "result");
  return headline(fields, colour) + scores_line(fields) + time_lines(fields) + tokens_line(fields) +
         device_table(result.at("devices"), colour);
}

}  // namespace batchscope
