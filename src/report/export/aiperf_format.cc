// AIPerf's records and summaries (report/export/peer_formats.h), schema 1.4. Its clock starts before there is a
// connection; its request latency ends with the last chunk that has text; its inter-token latency is a mean of each
// request, over the tokens after the first chunk.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/csv.h"
#include "report/export/peer_formats.h"
#include "report/export/peer_requests.h"

namespace batchscope::peers {
namespace {

using nlohmann::json;

struct AiperfMetric {
  std::string_view tag, header, unit;
};
constexpr AiperfMetric aiperf_metrics[] = {
    {"benchmark_duration", "Benchmark Duration", "sec"},
    {"decode_duration", "Decode Duration", "ms"},
    {"e2e_output_token_throughput", "E2E Output Token Throughput", "tokens/sec/user"},
    {"error_isl", "Error Input Sequence Length", "tokens"},
    {"error_request_count", "Error Request Count", "requests"},
    {"good_request_count", "Good Request Count", "requests"},
    {"goodput", "Goodput", "requests/sec"},
    {"input_sequence_length", "Input Sequence Length", "tokens"},
    {"inter_chunk_latency", "Inter Chunk Latency", "ms"},
    {"inter_token_latency", "Inter Token Latency", "ms"},
    {"output_sequence_length", "Output Sequence Length", "tokens"},
    {"output_token_throughput", "Output Token Throughput", "tokens/sec"},
    {"output_token_throughput_per_user", "Output Token Throughput Per User", "tokens/sec/user"},
    {"prefill_throughput_per_user", "Prefill Throughput Per User", "tokens/sec/user"},
    {"request_count", "Request Count", "requests"},
    {"request_latency", "Request Latency", "ms"},
    {"request_throughput", "Request Throughput", "requests/sec"},
    {"time_to_first_token", "Time to First Token", "ms"},
    {"time_to_second_token", "Time to Second Token", "ms"},
    {"total_isl", "Total Input Sequence Length", "tokens"},
    {"total_osl", "Total Output Sequence Length", "tokens"},
    {"total_token_throughput", "Total Token Throughput", "tokens/sec"},
};

const AiperfMetric& aiperf_metric(std::string_view tag) {
  return *std::find_if(std::begin(aiperf_metrics), std::end(aiperf_metrics),
                       [&](const AiperfMetric& metric) { return metric.tag == tag; });
}

using Measured = std::map<std::string, std::vector<double>>;  // by tag

std::int64_t tokens_of_first_chunk(const LoadRequestRecord& request) {
  const auto first = std::find_if(request.chunks.begin(), request.chunks.end(), has_tokens);
  const std::int64_t tokens = first == request.chunks.end() ? 1 : first->tokens.value_or(1);
  return tokens < request.output_tokens.value_or(0) ? tokens : 1;
}

// Of one request, in the units that are written.
Measured aiperf_values(const LoadRequestRecord& request) {
  Measured values;
  const auto add = [&](const char* tag, double value) { values[tag].push_back(value); };
  const auto prompt = request.prompt_tokens ? request.prompt_tokens : request.asked_prompt_tokens;
  if (request.outcome != "ok") {
    if (prompt) add("error_isl", static_cast<double>(*prompt));
    return values;
  }
  const Nanoseconds start = start_of(request);
  const auto milliseconds = [](Nanoseconds time) { return to_seconds(time) * 1e3; };
  const auto chunks = chunks_with_tokens(request);
  if (prompt) add("input_sequence_length", static_cast<double>(*prompt));
  if (request.output_tokens) add("output_sequence_length", static_cast<double>(*request.output_tokens));
  const auto last = chunks.empty() ? request.end : std::optional(chunks.back());
  if (!last) return values;
  add("request_latency", milliseconds(*last - start));
  if (request.output_tokens && *last > start)
    add("e2e_output_token_throughput", static_cast<double>(*request.output_tokens) / to_seconds(*last - start));
  if (chunks.empty()) return values;
  add("time_to_first_token", milliseconds(chunks[0] - start));
  add("decode_duration", milliseconds(*last - chunks[0]));
  if (prompt && chunks[0] > start)
    add("prefill_throughput_per_user", static_cast<double>(*prompt) / to_seconds(chunks[0] - start));
  if (chunks.size() > 1) add("time_to_second_token", milliseconds(chunks[1] - chunks[0]));
  for (std::size_t i = 1; i < chunks.size(); ++i) add("inter_chunk_latency", milliseconds(chunks[i] - chunks[i - 1]));
  if (request.output_tokens.value_or(0) < 2) return values;
  const auto decoded = static_cast<double>(*request.output_tokens - tokens_of_first_chunk(request));
  const double latency = milliseconds(*last - chunks[0]) / decoded;
  add("inter_token_latency", latency);
  if (latency > 0) add("output_token_throughput_per_user", 1e3 / latency);
  return values;
}

json aiperf_record(const LoadReport& report, const LoadRequestRecord& request, bool is_warm_up) {
  const auto unix = [&](Nanoseconds since_begin) { return nanoseconds_since_1970(report, since_begin); };
  json metadata{{"session_num", request.session.value_or(request.position)},
                {"turn_index", 0},
                {"credit_issued_ns", unix(request.due.value_or(request.intended))},
                {"request_start_ns", unix(start_of(request))},
                {"request_end_ns", unix(request.end.value_or(start_of(request)))},
                {"worker_id", "batchscope"},
                {"record_processor_id", "batchscope"},
                {"benchmark_phase", is_warm_up ? "warmup" : "profiling"},
                {"was_cancelled", request.outcome == "cancelled"}};
  if (request.first_byte) metadata["request_ack_ns"] = unix(*request.first_byte);
  if (request.session) metadata["conversation_id"] = std::to_string(*request.session);
  json metrics = json::object();
  for (const auto& [tag, values] : aiperf_values(request))
    metrics[tag] = {{"value", tag == "inter_chunk_latency" ? json(values) : json(values.front())},
                    {"unit", aiperf_metric(tag).unit}};
  json record{{"metadata", metadata}, {"metrics", metrics}};
  if (request.outcome == "ok") return record;
  record["error"] = {{"type", request.outcome}, {"message", request.detail.empty() ? request.outcome : request.detail}};
  if (request.status) record["error"]["code"] = *request.status;
  return record;
}

json aiperf_statistics(std::string_view tag, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const Moments all = moments(values);
  json out{{"unit", aiperf_metric(tag).unit},
           {"avg", all.mean},
           {"min", values.front()},
           {"max", values.back()},
           {"std", all.deviation},
           {"count", values.size()},
           {"sum", all.mean * static_cast<double>(values.size())}};
  for (const int percent : {1, 5, 10, 25, 50, 75, 90, 95, 99})
    out[fmt::format("p{}", percent)] = load::quantile_interval(values, percent / 100.0, false).value;
  return out;
}

// From the first start to the last chunk with text.
double aiperf_duration(const std::vector<LoadRequestRecord>& measured) {
  std::optional<Nanoseconds> begin, end;
  for (const LoadRequestRecord& request : measured) {
    if (request.outcome != "ok") continue;
    const auto chunks = chunks_with_tokens(request);
    const Nanoseconds start = start_of(request);
    const Nanoseconds last = chunks.empty() ? request.end.value_or(start) : chunks.back();
    begin = std::min(begin.value_or(start), start);
    end = std::max(end.value_or(last), last);
  }
  return begin ? to_seconds(*end - *begin) : 0;
}

json aiperf_summary(const LoadReport& report, const std::vector<LoadRequestRecord>& measured) {
  const load::LoadSummary& summary = report.summary;
  Measured all;
  for (const LoadRequestRecord& request : measured)
    for (const auto& [tag, values] : aiperf_values(request))
      all[tag].insert(all[tag].end(), values.begin(), values.end());
  json out = json::object();
  for (const auto& [tag, values] : all) out[tag] = aiperf_statistics(tag, values);
  const auto add = [&](const char* tag, double value) {
    out[tag] = {{"unit", aiperf_metric(tag).unit}, {"avg", value}};
  };
  const double seconds = aiperf_duration(measured);
  const auto answered = static_cast<double>(summary.answered);
  add("request_count", answered);
  if (const auto failed = static_cast<double>(measured.size()) - answered; failed > 0)
    add("error_request_count", failed);
  if (summary.prompt_tokens) add("total_isl", static_cast<double>(*summary.prompt_tokens));
  if (summary.output_tokens) add("total_osl", static_cast<double>(*summary.output_tokens));
  if (summary.goodput) add("good_request_count", static_cast<double>(summary.goodput->met));
  if (seconds <= 0) return out;
  add("benchmark_duration", seconds);
  add("request_throughput", answered / seconds);
  if (summary.goodput) add("goodput", static_cast<double>(summary.goodput->met) / seconds);
  if (summary.output_tokens) add("output_token_throughput", static_cast<double>(*summary.output_tokens) / seconds);
  if (summary.output_tokens && summary.prompt_tokens)
    add("total_token_throughput", static_cast<double>(*summary.prompt_tokens + *summary.output_tokens) / seconds);
  return out;
}

// Requests' metrics with their statistics, then single values; both in the order of their tags.
std::string aiperf_csv(const json& summary) {
  constexpr std::string_view keys[] = {"avg", "min", "max", "sum", "p1",  "p5",  "p10",
                                       "p25", "p50", "p75", "p90", "p95", "p99", "std"};
  std::string of_requests = "Metric", single = "Metric,Value\r\n";
  for (const std::string_view key : keys) of_requests += fmt::format(",{}", key);
  of_requests += "\r\n";
  for (const auto& [tag, values] : summary.items()) {
    const AiperfMetric& metric = aiperf_metric(tag);
    const std::string name =
        metric.unit == "requests" ? std::string(metric.header) : fmt::format("{} ({})", metric.header, metric.unit);
    if (!values.contains("p50")) {
      single += fmt::format("{},{:.2f}\r\n", csv_field(name), values["avg"].get<double>());
      continue;
    }
    of_requests += csv_field(name);
    for (const std::string_view key : keys) of_requests += fmt::format(",{:.2f}", values[key].get<double>());
    of_requests += "\r\n";
  }
  return of_requests + "\r\n" + single;
}

std::string iso_time(std::int64_t nanoseconds) {
  constexpr std::int64_t second = 1'000'000'000;
  return fmt::format("{}.{:06}", utc_text(nanoseconds / second, "%Y-%m-%dT%H:%M:%S"),
                     std::max<std::int64_t>(nanoseconds % second / 1000, 0));
}

}  // namespace
}  // namespace batchscope::peers

namespace batchscope {

AiperfFiles to_aiperf_files(const LoadReport& report) {
  using nlohmann::json;
  constexpr auto replaced = json::error_handler_t::replace;  // bytes that are not UTF-8
  AiperfFiles files;
  const std::vector<LoadRequestRecord> measured = measured_requests(report);
  const std::vector<LoadRequestRecord> all = load::in_order_of_due(report.requests);
  const std::size_t warm_up = all.size() - measured.size();
  for (std::size_t i = 0; i < all.size(); ++i)
    files.records += peers::aiperf_record(report, all[i], i < warm_up).dump(-1, ' ', false, replaced) + "\n";
  json summary = peers::aiperf_summary(report, measured);
  files.summary_csv = peers::aiperf_csv(summary);
  summary["schema_version"] = "1.4";
  summary["was_cancelled"] = report.summary.outcomes.contains("cancelled");
  summary["error_summary"] = json::array();
  for (const auto& [outcome, count] : report.summary.outcomes) {
    if (outcome == "ok") continue;
    const auto detail = report.summary.details.find(outcome);
    summary["error_summary"].push_back(
        {{"error_details",
          {{"type", outcome}, {"message", detail == report.summary.details.end() ? outcome : detail->second}}},
         {"count", count}});
  }
  Nanoseconds begin = report.requests.empty() ? Nanoseconds(0) : peers::start_of(report.requests.front()), end = begin;
  for (const LoadRequestRecord& request : report.requests) {
    begin = std::min(begin, peers::start_of(request));
    end = std::max(end, request.end.value_or(begin));
  }
  summary["start_time"] = peers::iso_time(peers::nanoseconds_since_1970(report, begin));
  summary["end_time"] = peers::iso_time(peers::nanoseconds_since_1970(report, end));
  files.summary_json = summary.dump(2, ' ', false, replaced) + "\n";
  return files;
}

}  // namespace batchscope
