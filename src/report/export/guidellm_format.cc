// GuideLLM's report (report/export/peer_formats.h), schema version 2. Its clock starts with the first byte sent; its
// time per output token includes the first one, its inter-token latency is what others call TPOT, and both are
// weighted by tokens in distributions. Where it writes 0 for an unknown value, the value is left out here.
#include <algorithm>
#include <cmath>

#include "report/export/peer_formats.h"
#include "report/export/peer_requests.h"

namespace batchscope::peers {
namespace {

using load::Metric;
using nlohmann::json;

// A value and how much it counts; or an instant and what happened then.
struct Weighted {
  double value = 0, weight = 1;
};
using Values = std::vector<Weighted>;

enum Status { successful, incomplete, errored, statuses };

Status status_of(const LoadRequestRecord& request) {
  if (request.outcome == "ok") return successful;
  return request.outcome == "cancelled" ? incomplete : errored;
}

// Equal values become one, with their weights.
Values merged(Values values) {
  std::sort(values.begin(), values.end(), [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  Values different;
  for (const Weighted& one : values) {
    if (different.empty() || different.back().value != one.value)
      different.push_back(one);
    else
      different.back().weight += one.weight;
  }
  return different;
}

// Percentiles are values that occur: the first one up to which at least that share lies.
json distribution(const Values& values, std::optional<double> count = {}) {
  constexpr std::pair<const char*, double> percentiles[] = {
      {"p001", 0.001}, {"p01", 0.01}, {"p05", 0.05}, {"p10", 0.1},  {"p25", 0.25},  {"p50", 0.5},
      {"p75", 0.75},   {"p90", 0.9},  {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}};
  double weight = 0;
  for (const Weighted& one : values) weight += one.weight;
  const double counted = std::round(count.value_or(weight));
  Values all = merged(values);
  std::erase_if(all, [](const Weighted& one) { return one.weight <= 0; });
  json out{{"percentiles", json::object()}, {"pdf", json()}, {"count", static_cast<std::int64_t>(counted)}};
  if (all.empty()) {
    for (const char* key : {"mean", "median", "mode", "variance", "std_dev", "min", "max", "total_sum"}) out[key] = 0.0;
    for (const auto& [key, share] : percentiles) out["percentiles"][key] = 0.0;
    return out;
  }
  double mean = 0, variance = 0, below = 0;
  for (const Weighted& one : all) mean += one.value * one.weight / weight;
  for (const Weighted& one : all) variance += (one.value - mean) * (one.value - mean) * one.weight / weight;
  std::size_t place = 0;
  for (const auto& [key, share] : percentiles) {
    while (place + 1 < all.size() && below + all[place].weight / weight < share) below += all[place++].weight / weight;
    out["percentiles"][key] = all[place].value;
  }
  const auto heavier = [](const Weighted& a, const Weighted& b) { return a.weight < b.weight; };
  out["mean"] = mean;
  out["median"] = out["percentiles"]["p50"];
  out["mode"] = std::max_element(all.begin(), all.end(), heavier)->value;
  out["variance"] = variance;
  out["std_dev"] = std::sqrt(variance);
  out["min"] = all.front().value;
  out["max"] = all.back().value;
  out["total_sum"] = mean * counted;
  return out;
}

// Instants closer than a tenth of a millisecond to the first of them are one.
Values merged_instants(Values events) {
  constexpr double closeness = 1e-4;
  Values apart;
  for (const Weighted& one : merged(std::move(events))) {
    if (apart.empty() || one.value > apart.back().value + closeness)
      apart.push_back(one);
    else
      apart.back().weight += one.weight;
  }
  return apart;
}

// Events per second: each event by half the time to its neighbours, weighted by that time.
json rate_distribution(Values events, double begin, double end) {
  std::erase_if(events, [&](const Weighted& one) { return one.value < begin || one.value > end; });
  events.push_back({begin, 0});
  events.push_back({end, 0});
  const Values all = merged_instants(std::move(events));
  double count = 0;
  if (all.size() <= 1) return distribution({}, static_cast<double>(all.size()));
  Values rates;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double from = i == 0 ? all[0].value : (all[i - 1].value + all[i].value) / 2;
    const double to = i + 1 == all.size() ? all[i].value : (all[i].value + all[i + 1].value) / 2;
    const double time = i + 1 == all.size() ? std::max(to - from, 1e-6) : to - from;
    rates.push_back({all[i].weight / time, time});
    count += all[i].weight;
  }
  return distribution(rates, count);
}

// How many were under way, weighted by how long.
json concurrency_distribution(const std::vector<std::pair<double, double>>& spans, double begin, double end) {
  Values changes;
  for (const auto& [from, to] : spans) {
    changes.push_back({std::max(from, begin), 1});
    changes.push_back({to, -1});
  }
  changes.push_back({begin, 0});
  changes.push_back({end, 0});
  const Values all = merged_instants(std::move(changes));
  Values levels;
  double level = 0;
  for (std::size_t i = 0; i + 1 < all.size(); ++i)
    levels.push_back({std::max(level += all[i].weight, 0.0), all[i + 1].value - all[i].value});
  return distribution(levels, static_cast<double>(spans.size()));
}

class GuidellmBenchmark {
 public:
  explicit GuidellmBenchmark(const LoadReport& report) : report_(report), measured_(measured_requests(report)) {
    for (const LoadRequestRecord& request : measured_) {
      const Nanoseconds start = request.sent.value_or(start_of(request));
      begin_ = std::min(begin_.value_or(start), start);
      end_ = std::max(end_.value_or(request.end.value_or(start)), request.end.value_or(start));
    }
  }

  json to_json(std::size_t index) const {
    json requests{{"successful", json::array()}, {"incomplete", json::array()}, {"errored", json::array()}};
    for (const LoadRequestRecord& request : measured_) requests[word_of(status_of(request))].push_back(of(request));
    requests["total"] = json();
    return {{"type_", "generative_benchmark"},
            {"config", config(index)},
            {"scheduler_state", scheduler_state()},
            {"scheduler_metrics", scheduler_metrics()},
            {"metrics", metrics()},
            {"requests", requests},
            {"warnings", json::array()},
            {"start_time", unix(begin_)},
            {"end_time", unix(end_)},
            {"duration", to_seconds(end_.value_or(Nanoseconds(0)) - begin_.value_or(Nanoseconds(0)))}};
  }

  // What GuideLLM would be asked for.
  json arguments() const {
    const json& spec = report_.spec;
    const json kind = strategy();
    json profile{{"kind", kind["type_"] == "trace" ? json("replay") : kind["type_"]}};
    if (kind.contains("rate")) profile["rate"] = {kind["rate"]};
    if (kind.contains("streams")) profile["streams"] = {kind["streams"]};
    if (kind.contains("max_concurrency")) profile["max_concurrency"] = kind["max_concurrency"];
    json data{{"kind", "huggingface"}, {"source", text_of(spec, "trace")}};
    const auto prompt = number_of(spec, "prompt_tokens"), output = number_of(spec, "output_tokens");
    if (prompt && output)
      data = {{"kind", "synthetic_text"},
              {"prompt_tokens", static_cast<std::int64_t>(*prompt)},
              {"output_tokens", static_cast<std::int64_t>(*output)}};
    return {{"spec", {{"backend", backend()}, {"profile", profile}, {"data", {data}}}}};
  }

 private:
  static const char* word_of(Status status) {
    return status == successful ? "successful" : status == incomplete ? "incomplete" : "errored";
  }
  json unix(std::optional<Nanoseconds> since_begin) const {
    return since_begin ? json(seconds_since_1970(report_, *since_begin)) : json();
  }

  json backend() const {
    const bool is_chat = text_of(report_.spec, "api") == "chat";
    return {{"kind", "openai_http"},
            {"target", text_of(report_.spec, "url")},
            {"model", text_of(report_.spec, "model")},
            {"request_format", is_chat ? "/v1/chat/completions" : "/v1/completions"},
            {"stream", report_.spec.value("streams", true)}};
  }

  // The nearest of GuideLLM's strategies. What it does not know is a trace to it: instants that are given.
  json strategy() const {
    const json& spec = report_.spec;
    const auto rate = number_of(spec, "rate");
    const json cap = spec.value("concurrency", json());
    const bool is_constant = text_of(spec, "burstiness") == "constant";
    const bool is_plain = number_of(spec, "burstiness").value_or(1) == 1 && !number_of(spec, "ramp_to") &&
                          number_of(spec, "together").value_or(1) == 1 && !number_of(spec, "sessions");
    if (rate && is_plain)
      return {{"type_", is_constant ? "constant" : "poisson"}, {"rate", *rate}, {"max_concurrency", cap}};
    if (rate || !text_of(spec, "trace").empty())
      return {{"type_", "trace"}, {"time_scale", 1 / number_of(spec, "trace_speed").value_or(1)}};
    const auto sessions = number_of(spec, "sessions");
    return {{"type_", "concurrent"},
            {"streams", cap.is_number() ? cap : json(static_cast<std::int64_t>(sessions.value_or(1)))}};
  }

  json config(std::size_t index) const {
    return {{"id_", "run-" + std::to_string(report_.run.id)},
            {"run_id", "batchscope"},
            {"run_index", index},
            {"strategy", strategy()},
            {"constraints", json::object()},
            {"profile", arguments()["spec"]["profile"]},
            {"requests", {{"shape", text_of(report_.spec, "shape")}}},
            {"backend", backend()},
            {"environment", json::object()}};
  }

  std::int64_t count(Status status) const {
    return std::count_if(measured_.begin(), measured_.end(), [&](const auto& one) { return status_of(one) == status; });
  }
  json totals() const {
    return {{"successful", count(successful)},
            {"incomplete", count(incomplete)},
            {"errored", count(errored)},
            {"total", measured_.size()}};
  }

  json scheduler_state() const {
    return {{"start_time", unix(Nanoseconds(0))},          {"end_time", unix(end_)},
            {"created_requests", report_.requests.size()}, {"processed_requests", report_.requests.size()},
            {"successful_requests", count(successful)},    {"errored_requests", count(errored)},
            {"cancelled_requests", count(incomplete)}};
  }

  // -1 is its word for what is unknown.
  json scheduler_metrics() const {
    Values delays, times;
    for (const LoadRequestRecord& request : measured_) {
      if (request.sent) delays.push_back({to_seconds(*request.sent - request.intended)});
      if (request.sent && request.end) times.push_back({to_seconds(*request.end - *request.sent)});
    }
    json out{{"start_time", unix(Nanoseconds(0))}, {"request_start_time", unix(begin_)},
             {"measure_start_time", unix(begin_)}, {"measure_end_time", unix(end_)},
             {"request_end_time", unix(end_)},     {"end_time", unix(end_)},
             {"requests_made", totals()},          {"strategy_type", strategy()["type_"]}};
    for (const char* key :
         {"queued_time_avg", "resolve_start_delay_avg", "resolve_targeted_start_delay_avg", "request_start_delay_avg",
          "resolve_end_delay_avg", "resolve_time_avg", "finalized_delay_avg", "processed_delay_avg"})
      out[key] = -1.0;
    out["request_targeted_start_delay_avg"] = delays.empty() ? json(-1.0) : distribution(delays)["mean"];
    out["request_time_avg"] = times.empty() ? json(-1.0) : distribution(times)["mean"];
    return out;
  }

  // For each status and for all: `add` appends the values of a request.
  template <class Add>
  json by_status(const Add& add) const {
    return with_status(add, [](const Values& values) { return distribution(values); });
  }
  template <class Add>
  json rates_by_status(const Add& add) const {
    const double begin = unix(begin_).is_null() ? 0 : unix(begin_).get<double>();
    const double end = unix(end_).is_null() ? 0 : unix(end_).get<double>();
    return with_status(add, [&](const Values& values) { return rate_distribution(values, begin, end); });
  }
  template <class Add, class Make>
  json with_status(const Add& add, const Make& make) const {
    Values of_status[statuses], all;
    for (const LoadRequestRecord& request : measured_) {
      Values values;
      add(request, values);
      Values& own = of_status[status_of(request)];
      own.insert(own.end(), values.begin(), values.end());
      all.insert(all.end(), values.begin(), values.end());
    }
    json out{{"total", make(all)}};
    for (const Status status : {successful, incomplete, errored}) out[word_of(status)] = make(of_status[status]);
    return out;
  }

  json concurrency() const {
    json out;
    for (const Status status : {successful, incomplete, errored, statuses}) {
      std::vector<std::pair<double, double>> spans;
      for (const LoadRequestRecord& request : measured_)
        if (request.sent && request.end && (status == statuses || status_of(request) == status))
          spans.emplace_back(to_seconds(*request.sent - *begin_), to_seconds(*request.end - *begin_));
      out[status == statuses ? "total" : word_of(status)] =
          concurrency_distribution(spans, 0, begin_ ? to_seconds(*end_ - *begin_) : 0);
    }
    return out;
  }

  // Of each chunk with text its instant, as if all after the first were evenly spaced and equally long.
  Values token_instants(const LoadRequestRecord& request) const {
    const auto chunks = chunks_with_tokens(request);
    const double tokens = static_cast<double>(request.output_tokens.value_or(std::ssize(chunks)));
    if (chunks.size() <= 1 || tokens <= 1) {
      const auto at = chunks.empty() ? request.end : std::optional(chunks.back());
      return at ? Values{{seconds_since_1970(report_, *at), tokens}} : Values{};
    }
    const double first = seconds_since_1970(report_, chunks.front()), last = seconds_since_1970(report_, chunks.back());
    const auto more = static_cast<double>(chunks.size() - 1);
    Values instants{{first, 1}};
    for (double i = 1; i <= more; ++i) instants.push_back({first + (last - first) * i / more, (tokens - 1) / more});
    return instants;
  }

  json token_counts() const {
    const auto counts = [](std::optional<std::int64_t> prompt, std::optional<std::int64_t> output, Values& out) {
      if (prompt || output) out.push_back({static_cast<double>(prompt.value_or(0) + output.value_or(0))});
    };
    return {
        {"input", by_status([&](const auto& one, Values& out) { counts(one.prompt_tokens, {}, out); })},
        {"output", by_status([&](const auto& one, Values& out) { counts({}, one.output_tokens, out); })},
        {"total", by_status([&](const auto& one, Values& out) { counts(one.prompt_tokens, one.output_tokens, out); })}};
  }

  json metrics() const {
    const auto milliseconds = [&](Metric metric, auto weight) {
      return by_status([metric, weight](const LoadRequestRecord& request, Values& out) {
        if (const auto value = load::value_of(metric, request))
          out.push_back({to_seconds(*value) * 1e3, weight(request)});
      });
    };
    const auto once = [](const LoadRequestRecord&) { return 1.0; };
    const auto tokens_of = [](std::int64_t fewer) {
      return [fewer](const LoadRequestRecord& request) {
        return static_cast<double>(request.output_tokens.value_or(0) - fewer);
      };
    };
    const auto prompt_instant = [this](const LoadRequestRecord& request, Values& out) {
      const auto chunks = chunks_with_tokens(request);
      const auto at = chunks.empty() ? request.end : std::optional(chunks.front());
      if (at && request.prompt_tokens)
        out.push_back({seconds_since_1970(report_, *at), static_cast<double>(*request.prompt_tokens)});
    };
    const auto output_instants = [this](const LoadRequestRecord& request, Values& out) {
      const Values instants = token_instants(request);
      out.insert(out.end(), instants.begin(), instants.end());
    };
    const auto counts_of = [&](bool with_first) {
      return by_status([this, with_first](const LoadRequestRecord& request, Values& out) {
        const Values instants = token_instants(request);
        for (std::size_t i = with_first ? 0 : 1; i < instants.size(); ++i) out.push_back({instants[i].weight});
      });
    };
    const json counts = token_counts();
    const json ttft = milliseconds(Metric::ttft, once);
    json out{{"request_totals", totals()},
             {"requests_per_second", rates_by_status([this](const LoadRequestRecord& request, Values& values) {
                if (request.end) values.push_back({seconds_since_1970(report_, *request.end)});
              })},
             {"request_concurrency", concurrency()},
             {"request_latency", by_status([](const LoadRequestRecord& request, Values& values) {
                if (request.sent && request.end) values.push_back({to_seconds(*request.end - *request.sent)});
              })},
             {"request_streaming_iterations_count", by_status([](const LoadRequestRecord& request, Values& values) {
                values.push_back({static_cast<double>(request.chunks.size())});
              })},
             {"prompt_token_count", counts["input"]},
             {"output_token_count", counts["output"]},
             {"total_token_count", counts["total"]},
             {"time_to_first_token_ms", ttft},
             {"time_to_first_output_token_ms", ttft},
             {"time_per_output_token_ms", milliseconds(Metric::ntpot, tokens_of(0))},
             {"inter_token_latency_ms", milliseconds(Metric::tpot, tokens_of(1))},
             {"time_to_last_round_trip_ms", by_status([](const auto&, Values&) {})},
             {"avg_round_trip_time_ms", by_status([](const auto&, Values&) {})},
             {"prompt_tokens_per_second", rates_by_status(prompt_instant)},
             {"output_tokens_per_second", rates_by_status(output_instants)},
             {"tokens_per_second", rates_by_status([&](const LoadRequestRecord& request, Values& values) {
                prompt_instant(request, values);
                output_instants(request, values);
              })},
             {"output_tokens_per_iteration", counts_of(true)},
             {"iter_tokens_per_iteration", counts_of(false)},
             {"text", {{"tokens", nullptr}, {"words", nullptr}, {"characters", nullptr}}},
             {"image", {{"tokens", nullptr}, {"images", nullptr}, {"pixels", nullptr}, {"bytes", nullptr}}},
             {"video", {{"tokens", nullptr}, {"frames", nullptr}, {"seconds", nullptr}, {"bytes", nullptr}}},
             {"audio", {{"tokens", nullptr}, {"samples", nullptr}, {"seconds", nullptr}, {"bytes", nullptr}}},
             {"tool_call", {{"tokens", nullptr}, {"mixed_tokens", nullptr}, {"count", nullptr}}}};
    if (strategy()["type_"] == "concurrent") return out;
    out["request_dispatch_delay"] = by_status([](const LoadRequestRecord& request, Values& values) {
      if (request.sent) values.push_back({to_seconds(*request.sent - request.intended)});
    });
    out["request_scheduled_latency"] = by_status([](const LoadRequestRecord& request, Values& values) {
      if (request.end) values.push_back({to_seconds(*request.end - request.intended)});
    });
    return out;
  }

  json of(const LoadRequestRecord& request) const {
    const Status status = status_of(request);
    const auto tokens = chunks_with_tokens(request);
    const json first = tokens.empty() ? json() : unix(tokens.front());
    const json last = tokens.empty() ? json() : unix(tokens.back());
    const auto chunk = [&](bool is_first) {
      return request.chunks.empty() ? json() : unix((is_first ? request.chunks.front() : request.chunks.back()).at);
    };
    const auto or_null = [](const auto& value) { return value ? json(*value) : json(); };
    const std::string id = "request-" + std::to_string(request.position);
    const json timings{{"targeted_start", unix(request.intended)},
                       {"scheduled_at", unix(request.due)},
                       {"resolve_start", unix(start_of(request))},
                       {"request_start", unix(request.sent)},
                       {"first_request_iteration", chunk(true)},
                       {"first_token_iteration", first},
                       {"first_output_token_iteration", first},
                       {"last_token_iteration", last},
                       {"last_request_iteration", chunk(false)},
                       {"request_iterations", request.chunks.size()},
                       {"token_iterations", tokens.size()},
                       {"request_end", unix(request.end)},
                       {"resolve_end", unix(request.end.value_or(start_of(request)))}};
    const json error =
        status == errored ? json(request.outcome + (request.detail.empty() ? "" : ": ") + request.detail) : json();
    return {{"type_", "generative_request_stats"},
            {"request_id", id},
            {"info",
             {{"request_id", id},
              {"conversation_id", request.session ? json(std::to_string(*request.session)) : json()},
              {"status", status == successful   ? "completed"
                         : status == incomplete ? "cancelled"
                                                : "errored"},
              {"scheduler_start_time", unix(Nanoseconds(0))},
              {"timings", timings},
              {"error", error}}},
            {"input_metrics", {{"text_tokens", or_null(request.prompt_tokens)}}},
            {"output_metrics", {{"text_tokens", or_null(request.output_tokens)}}}};
  }

  const LoadReport& report_;
  const std::vector<LoadRequestRecord> measured_;
  std::optional<Nanoseconds> begin_{}, end_{};  // of the measured requests
};

}  // namespace
}  // namespace batchscope::peers

namespace batchscope {

nlohmann::json to_guidellm_json(std::span<const LoadReport> reports) {
  using nlohmann::json;
  json benchmarks = json::array();
  for (const LoadReport& report : reports)
    benchmarks.push_back(peers::GuidellmBenchmark(report).to_json(benchmarks.size()));
  return {{"metadata", {{"version", 2}, {"guidellm_version", "0.8.1"}, {"python_version", ""}, {"platform", ""}}},
          {"config", peers::GuidellmBenchmark(reports.front()).arguments()},
          {"benchmarks", benchmarks},
          {"conclusions", json::array()}};
}

}  // namespace batchscope
