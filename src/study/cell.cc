// What came of a cell (study/cell.h), as the object of `eval --json`; and its words.
#include "study/cell.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <utility>

#include "base/input_warnings.h"
#include "base/units.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

constexpr std::array cell_statuses{CellStatus::ok,            CellStatus::truncated, CellStatus::degraded,
                                   CellStatus::out_of_memory, CellStatus::failed,    CellStatus::timed_out};

// The value that `share` of the sorted times do not exceed (nearest rank), in ms.
nlohmann::json percentile_ms(const std::vector<Nanoseconds>& sorted, double share) {
  if (sorted.empty()) return nullptr;
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return to_seconds(sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1]) * 1e3;
}

// Of times in any order, in ms; null where there are none.
nlohmann::json percentiles_ms(std::vector<Nanoseconds> times) {
  std::sort(times.begin(), times.end());
  return {
      {"p50", percentile_ms(times, 0.50)}, {"p90", percentile_ms(times, 0.90)}, {"p99", percentile_ms(times, 0.99)}};
}

nlohmann::json scores_json(const std::optional<TaskScores>& scores) {
  nlohmann::json json;
  const auto put = [&](const char* key, auto get) {
    json[key] = scores ? nlohmann::json(get(*scores)) : nlohmann::json(nullptr);
  };
  put("items", [](const TaskScores& s) { return s.items; });
  put("acc", [](const TaskScores& s) { return s.acc; });
  put("acc_stderr", [](const TaskScores& s) { return s.acc_stderr; });
  put("acc_norm", [](const TaskScores& s) { return s.acc_norm; });
  put("acc_norm_stderr", [](const TaskScores& s) { return s.acc_norm_stderr; });
  put("acc_norm_low", [](const TaskScores& s) { return s.acc_norm_interval.low; });
  put("acc_norm_high", [](const TaskScores& s) { return s.acc_norm_interval.high; });
  put("acc_bytes", [](const TaskScores& s) { return s.acc_bytes; });
  put("acc_tokens", [](const TaskScores& s) { return json_or_null(s.acc_tokens); });
  return json;
}

nlohmann::json whole_json(const std::optional<WholeTask>& whole) {
  if (!whole) return nullptr;
  return {{"items", whole->items},
          {"seconds", whole->time.seconds},
          {"low", json_or_null(whole->time.low)},
          {"high", json_or_null(whole->time.high)}};
}

nlohmann::json link_json(const LinkReport& link) {
  return {{"kind", std::string(name_of(link.kind))},
          {"predicted_tx_bytes", json_or_null(link.predicted_tx_bytes)},
          {"counted_tx_bytes", json_or_null(link.counted_tx_bytes)},
          {"link_tx_bytes", json_or_null(link.link_tx_bytes)},
          {"predicted_rx_bytes", json_or_null(link.predicted_rx_bytes)},
          {"counted_rx_bytes", json_or_null(link.counted_rx_bytes)},
          {"link_rx_bytes", json_or_null(link.link_rx_bytes)}};
}

}  // namespace

nlohmann::json to_json(const DeviceReport& device) {
  nlohmann::json links = nlohmann::json::array();
  for (const LinkReport& link : device.links) links.push_back(link_json(link));
  const auto busy = [&](double DeviceReport::Busy::*share) {
    return device.busy ? nlohmann::json(*device.busy.*share) : nlohmann::json(nullptr);
  };
  return {{"name", device.name},
          {"virtual", device.is_virtual},
          {"threads", json_or_null(device.threads)},
          {"memory",
           {{"capacity_bytes", json_or_null(device.memory.capacity_bytes)},
            {"planned_bytes", json_or_null(device.memory.planned_bytes)},
            {"peak_bytes", json_or_null(device.memory.peak_bytes)}}},
          {"links", std::move(links)},
          {"busy",
           {{"compute", busy(&DeviceReport::Busy::compute)},
            {"communicate", busy(&DeviceReport::Busy::communicate)},
            {"idle", busy(&DeviceReport::Busy::idle)}}},
          {"utilisation", json_or_null(device.utilisation)},
          {"sm_active", nullptr},  // of counters (cell_counters.h)
          {"paper", nullptr},
          {"energy_j", json_or_null(device.energy_joule)}};
}

namespace {

// Time, tokens and batches of a run; null in every place for a cell that did not get that far.
nlohmann::json run_json(const std::optional<ScoreReport>& run) {
  // A cell that never ran knows what was asked and cut; of what it would have computed it knows nothing.
  const bool ran = run && run->time > Nanoseconds(0);
  nlohmann::json devices = nlohmann::json::array();
  if (run)
    for (const DeviceReport& device : run->devices) devices.push_back(to_json(device));

  nlohmann::json json;
  const auto tokens = [&](bool is_known, std::optional<std::int64_t> ReportedTokens::*count) {
    return is_known ? json_or_null(run->tokens.*count) : nlohmann::json(nullptr);
  };
  const bool has_run = run.has_value();
  json["tokens"] = {{"requested", tokens(has_run, &ReportedTokens::requested)},
                    {"truncated", tokens(has_run, &ReportedTokens::truncated)},
                    {"computed", tokens(ran, &ReportedTokens::computed)},
                    {"padding", tokens(ran, &ReportedTokens::padding)}};
  json["seconds"] = ran ? nlohmann::json(to_seconds(run->time)) : nlohmann::json(nullptr);
  json["batches"] = ran ? json_or_null(run->batches) : nlohmann::json(nullptr);
  json["batch_ms"] = percentiles_ms(run ? run->batch_times : std::vector<Nanoseconds>());
  // Tokens that the task asked for and got, not those computed: the same work under every packing.
  json["tokens_per_s"] = nullptr;
  if (ran && run->tokens.requested && run->tokens.truncated)
    json["tokens_per_s"] =
        static_cast<double>(*run->tokens.requested - *run->tokens.truncated) / to_seconds(run->time);
  json["devices"] = std::move(devices);
  return json;
}

// Of a server's answers; null for other engines.
nlohmann::json served_json(const std::optional<ScoreReport>& run) {
  if (!run || !run->served) return nullptr;
  const ServedRequests& served = *run->served;
  return {{"requests", served.times.size()},
          {"request_ms", percentiles_ms(served.times)},
          {"first_byte_ms", percentiles_ms(served.first_bytes)},
          {"retries", served.retries},
          {"failures", served.failures},
          {"cached_tokens", json_or_null(served.cached_tokens)}};
}

// Of a workload that ran; null in every place for questions.
nlohmann::json requests_json(const CellResult& result) {
  std::vector<Nanoseconds> first, per_output, queue, latency;
  std::int64_t output_tokens = 0;
  for (const RequestResult& request : result.requests) {
    first.push_back(request.time_to_first_token());
    queue.push_back(request.queue_time());
    latency.push_back(request.latency());
    output_tokens += request.output_tokens;
    if (const auto time = request.time_per_output_token()) per_output.push_back(*time);
  }
  const bool ran = !result.requests.empty();
  nlohmann::json json;
  json["requests"] = ran ? nlohmann::json(result.requests.size()) : nlohmann::json(nullptr);
  json["output_tokens"] = ran ? nlohmann::json(output_tokens) : nlohmann::json(nullptr);
  json["output_tokens_per_s"] =
      ran ? nlohmann::json(static_cast<double>(output_tokens) / to_seconds(result.run->time)) : nlohmann::json(nullptr);
  json["ttft_ms"] = percentiles_ms(std::move(first));
  json["tpot_ms"] = percentiles_ms(std::move(per_output));
  json["queue_ms"] = percentiles_ms(std::move(queue));
  json["latency_ms"] = percentiles_ms(std::move(latency));
  json["time_to_first_token_ms"] = json["ttft_ms"]["p50"];
  json["time_per_output_token_ms"] = json["tpot_ms"]["p50"];
  return json;
}

// Null where nobody looked.
nlohmann::json sentinel_json(const std::optional<SentinelReport>& sentinel) {
  if (!sentinel) return nullptr;
  nlohmann::json json = {{"reference", sentinel->reference.empty() ? nlohmann::json() : nlohmann::json(sentinel->reference)},
                         {"why_not", sentinel->why_not.empty() ? nlohmann::json() : nlohmann::json(sentinel->why_not)},
                         {"alarm_rate", sentinel_alarm_rate}};
  const SentinelVerdict& seen = sentinel->verdict;
  const auto put = [&](const char* key, nlohmann::json value) {
    json[key] = sentinel->why_not.empty() ? std::move(value) : nlohmann::json();
  };
  put("items", seen.items);
  put("departs", seen.departs());
  put("alarm_at", json_or_null(seen.alarm_at));
  put("changed", seen.changed);
  put("widest_change", seen.widest_change);
  put("largest_difference", seen.largest_difference);
  put("typical_difference", seen.typical_difference);
  put("tolerance", seen.tolerance);
  put("evidence", seen.evidence);
  return json;
}

}  // namespace

std::string to_string(CellStatus status) {
  switch (status) {
    case CellStatus::ok:
      return "ok";
    case CellStatus::truncated:
      return "truncated";
    case CellStatus::degraded:
      return "degraded";
    case CellStatus::out_of_memory:
      return "out_of_memory";
    case CellStatus::failed:
      return "failed";
    case CellStatus::timed_out:
      return "timed_out";
  }
  return "failed";
}

CellStatus parse_cell_status(std::string_view text) {
  for (const CellStatus status : cell_statuses)
    if (to_string(status) == text) return status;
  throw InputError("'{}' is not the status of a cell; use ok, truncated, degraded, out_of_memory, failed or timed_out",
                   text);
}

bool is_loud(std::string_view status) { return status == "truncated" || status == "degraded"; }

bool has_scores(std::string_view status) { return status == "ok" || is_loud(status); }

std::string status_words(std::string_view status) {
  std::string words(status);
  std::replace(words.begin(), words.end(), '_', ' ');
  if (is_loud(status))
    std::transform(words.begin(), words.end(), words.begin(), [](unsigned char c) { return std::toupper(c); });
  return words;
}

ExitCode exit_code(CellStatus status) {
  switch (status) {
    case CellStatus::ok:
    case CellStatus::truncated:
    case CellStatus::degraded:
      return ExitCode::ok;
    case CellStatus::out_of_memory:
      return ExitCode::out_of_memory;
    case CellStatus::failed:
      return ExitCode::failed;
    case CellStatus::timed_out:
      return ExitCode::timed_out;
  }
  return ExitCode::failed;
}

std::string to_string(WhenTooLong when) { return std::string(when_too_long_words[static_cast<std::size_t>(when)]); }

WhenTooLong parse_when_too_long(std::string_view text, std::string_view what) {
  const auto found = std::find(when_too_long_words.begin(), when_too_long_words.end(), text);
  if (found != when_too_long_words.end()) return static_cast<WhenTooLong>(found - when_too_long_words.begin());
  throw InputError("{}: '{}' is neither fail nor truncate", what, text);
}

nlohmann::json to_json(const CellResult& result) {
  nlohmann::json json = scores_json(result.scores);
  json.update(run_json(result.run));
  json.update(requests_json(result));
  json["served"] = served_json(result.run);
  json["status"] = to_string(result.status);
  json["valid"] = json_or_null(result.valid);
  json["reason"] = result.reason;
  json["warnings"] = input_warnings();
  json["whole_task"] = whole_json(result.whole);
  json["sentinel"] = sentinel_json(result.sentinel);
  json["engine"] = result.engine.empty() ? nlohmann::json() : nlohmann::json(result.engine);
  json["load_seconds"] = result.load_time ? nlohmann::json(to_seconds(*result.load_time)) : nlohmann::json(nullptr);
  json["environment"] = result.environment.is_object() ? result.environment : nlohmann::json::object();
  return json;
}

}  // namespace batchscope
