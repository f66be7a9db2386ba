// The result of `vllm bench serve` (report/export/peer_formats.h). Its clock starts before there is a connection; its
// gaps are between chunks, also those without a token; it counts a chunk as a token in its peak.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/export/peer_formats.h"
#include "report/export/peer_requests.h"

namespace batchscope::peers {
namespace {

using nlohmann::json;

// Of one request, in seconds; absent: nothing was streamed.
struct VllmTimes {
  std::optional<double> ttft{}, latency{};
  std::vector<double> gaps{};
};

VllmTimes vllm_times(const LoadRequestRecord& request) {
  VllmTimes times;
  const Nanoseconds start = start_of(request);
  if (request.chunks.empty()) {
    if (request.end) times.latency = to_seconds(*request.end - start);
    return times;
  }
  times.ttft = to_seconds(request.chunks.front().at - start);
  times.latency = to_seconds(request.chunks.back().at - start);
  for (std::size_t i = 1; i < request.chunks.size(); ++i)
    times.gaps.push_back(to_seconds(request.chunks[i].at - request.chunks[i - 1].at));
  return times;
}

void add_statistics(json& out, const char* word, std::vector<double> values) {
  if (values.empty()) return;
  std::sort(values.begin(), values.end());
  const Moments all = moments(values);
  out[fmt::format("mean_{}_ms", word)] = all.mean * 1e3;
  out[fmt::format("median_{}_ms", word)] = load::quantile_interval(values, 0.5, false).value * 1e3;
  out[fmt::format("std_{}_ms", word)] = all.deviation * 1e3;
  out[fmt::format("p99_{}_ms", word)] = load::quantile_interval(values, 0.99, false).value * 1e3;
}

// Chunks in the fullest second, counted from the first start.
std::int64_t most_chunks_in_a_second(const std::vector<const LoadRequestRecord*>& answered) {
  constexpr Nanoseconds second = std::chrono::seconds(1);
  std::optional<Nanoseconds> first;
  for (const LoadRequestRecord* request : answered)
    first = std::min(first.value_or(start_of(*request)), start_of(*request));
  std::map<std::int64_t, std::int64_t> counts;
  std::int64_t most = 0;
  for (const LoadRequestRecord* request : answered)
    for (const ChunkRecord& chunk : request->chunks) most = std::max(most, ++counts[(chunk.at - *first) / second]);
  return most;
}

std::int64_t most_at_the_same_time(const std::vector<const LoadRequestRecord*>& answered) {
  std::vector<std::pair<Nanoseconds, int>> changes;
  for (const LoadRequestRecord* request : answered) {
    changes.emplace_back(start_of(*request), 1);
    changes.emplace_back(start_of(*request) + from_seconds(vllm_times(*request).latency.value_or(0)), -1);
  }
  std::sort(changes.begin(), changes.end());
  std::int64_t now = 0, most = 0;
  for (const auto& [at, change] : changes) most = std::max(most, now += change);
  return most;
}

json asked_of(const LoadReport& report) {
  const json& spec = report.spec;
  const std::string backend = text_of(spec, "api") == "chat" ? "openai-chat" : "openai";
  const auto rate = number_of(spec, "rate");
  const auto or_null = [](const auto& value) { return value ? json(*value) : json(); };
  json out{{"date", utc_text(report.run.begin_unix / std::chrono::seconds(1), "%Y%m%d-%H%M%S")},
           {"endpoint_type", backend},
           {"backend", backend},
           {"label", json()},
           {"model_id", text_of(spec, "model")},
           {"tokenizer_id", json()},
           {"num_prompts", report.summary.requests - report.summary.warm_up},
           {"request_rate", rate ? json(*rate) : json("inf")},
           {"burstiness", or_null(number_of(spec, "burstiness"))},
           {"max_concurrency", spec.value("concurrency", json())}};
  if (const auto last = number_of(spec, "ramp_to"); last && rate) {
    out["ramp_up_strategy"] = "linear";
    out["ramp_up_start_rps"] = *rate;
    out["ramp_up_end_rps"] = *last;
  }
  return out;
}

void add_requests_of(json& out, const std::vector<LoadRequestRecord>& measured, Nanoseconds begin) {
  for (const char* key :
       {"input_lens", "output_lens", "ttfts", "itls", "latencies", "start_times", "queue_times", "errors"})
    out[key] = json::array();
  for (const LoadRequestRecord& request : measured) {
    const VllmTimes times = vllm_times(request);
    const bool is_answered = request.outcome == "ok";
    const auto or_null = [](const auto& value) { return value ? json(*value) : json(); };
    out["input_lens"].push_back(or_null(request.prompt_tokens ? request.prompt_tokens : request.asked_prompt_tokens));
    out["output_lens"].push_back(is_answered ? or_null(request.output_tokens) : json(0));
    out["ttfts"].push_back(or_null(times.ttft));
    out["itls"].push_back(times.gaps);
    out["latencies"].push_back(or_null(times.latency));
    out["start_times"].push_back(to_seconds(begin + start_of(request)));
    out["queue_times"].push_back(to_seconds(start_of(request) - request.intended));
    out["errors"].push_back(is_answered              ? std::string()
                            : request.detail.empty() ? request.outcome
                                                     : request.outcome + ": " + request.detail);
  }
}

void add_times_of(json& out, const std::vector<const LoadRequestRecord*>& answered) {
  std::vector<double> ttfts, tpots, gaps, latencies, queued, with_queue;
  for (const LoadRequestRecord* request : answered) {
    const VllmTimes times = vllm_times(*request);
    gaps.insert(gaps.end(), times.gaps.begin(), times.gaps.end());
    queued.push_back(to_seconds(start_of(*request) - request->intended));
    if (times.ttft) ttfts.push_back(*times.ttft);
    if (!times.latency) continue;
    latencies.push_back(*times.latency);
    with_queue.push_back(*times.latency + queued.back());
    if (times.ttft && request->output_tokens.value_or(0) > 1)
      tpots.push_back((*times.latency - *times.ttft) / static_cast<double>(*request->output_tokens - 1));
  }
  add_statistics(out, "ttft", ttfts);
  add_statistics(out, "tpot", tpots);
  add_statistics(out, "itl", gaps);
  add_statistics(out, "e2el", latencies);
  if (out["max_concurrency"].is_null()) return;
  add_statistics(out, "client_queue_time", queued);
  if (out["request_rate"].is_number()) add_statistics(out, "e2el_including_client_queue", with_queue);
}

}  // namespace
}  // namespace batchscope::peers

namespace batchscope {

nlohmann::json to_vllm_json(const LoadReport& report) {
  using nlohmann::json;
  const load::LoadSummary& summary = report.summary;
  const std::vector<LoadRequestRecord> measured = measured_requests(report);
  std::vector<const LoadRequestRecord*> answered;
  for (const LoadRequestRecord& request : measured)
    if (request.outcome == "ok") answered.push_back(&request);
  json out = peers::asked_of(report);
  const auto or_null = [](const auto& value) { return value ? json(*value) : json(); };
  out["duration"] = summary.seconds;
  out["completed"] = summary.answered;
  out["failed"] = std::ssize(measured) - summary.answered;
  out["total_input_tokens"] = or_null(summary.prompt_tokens);
  out["total_output_tokens"] = or_null(summary.output_tokens);
  out["request_throughput"] = summary.requests_per_s;
  out["request_goodput"] = summary.goodput ? json(summary.goodput->requests_per_s) : json();
  out["output_throughput"] = or_null(summary.output_tokens_per_s);
  out["total_token_throughput"] =
      summary.prompt_tokens && summary.output_tokens && summary.seconds > 0
          ? json(static_cast<double>(*summary.prompt_tokens + *summary.output_tokens) / summary.seconds)
          : json();
  out["max_output_tokens_per_s"] = peers::most_chunks_in_a_second(answered);
  out["max_concurrent_requests"] = peers::most_at_the_same_time(answered);
  peers::add_times_of(out, answered);
  peers::add_requests_of(out, measured, report.run.begin);
  return out;
}

}  // namespace batchscope
