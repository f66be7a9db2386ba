// Tables and JSON of a load run (report/load_report.h).
#include "report/load_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/units.h"
#include "load/outcome.h"
#include "report/text.h"

namespace batchscope {
namespace {

using load::LoadSummary;
using load::MetricSummary;
using load::MetricWords;
using load::QuantileInterval;
using nlohmann::json;

template <class Value>
json or_null(const std::optional<Value>& value) {
  return value ? json(*value) : json();
}

const MetricWords& words_of(load::Metric metric) { return load::metric_words()[static_cast<std::size_t>(metric)]; }

std::string text_of(const json& spec, const char* key) {
  const auto found = spec.find(key);
  return found != spec.end() && found->is_string() ? found->get<std::string>() : "?";
}

std::string per_second(double rate) { return fmt::format("{:.4g}/s", rate); }

std::string interval_text(const QuantileInterval& quantile) {
  if (!quantile.low && !quantile.high) return "none";
  return fmt::format("{} to {}", milliseconds_text(quantile.low),
                     quantile.high ? milliseconds_text(quantile.high) : "∞");
}

std::string metrics_table(const LoadSummary& summary, bool colour) {
  TextTable table({"ms", "mean", "p50", "95 %", "p90", "p99", "95 %", "max"});
  for (const MetricSummary& metric : summary.metrics) {
    const bool is_of_gaps = metric.metric == load::Metric::itl || metric.metric == load::Metric::icl;
    const auto interval = [&](const QuantileInterval& quantile) { return is_of_gaps ? "" : interval_text(quantile); };
    table.add({{std::string(words_of(metric.metric).title)},
               {milliseconds_text(metric.mean)},
               {milliseconds_text(metric.p50.value)},
               {interval(metric.p50)},
               {milliseconds_text(metric.p90.value)},
               {milliseconds_text(metric.p99.value)},
               {interval(metric.p99)},
               {milliseconds_text(metric.most)}});
  }
  return table.print(colour);
}

std::string note(const LoadSummary& summary) {
  std::string text =
      "Percentiles lie between neighbouring values (numpy's linear); their 95 % intervals hold for any distribution "
      "(order statistics), ∞ where too few requests bound them from above: p99 needs 368. ";
  for (const MetricSummary& metric : summary.metrics) {
    const MetricWords& words = words_of(metric.metric);
    text += fmt::format("{} = {}. ", words.title, words.formula);
  }
  text.pop_back();
  return wrap(text, terminal_columns, 0) + "\n";
}

std::string client_text(const LoadReport& report) {
  std::string text = "client    ";
  const auto found = report.spec.find("client");
  if (found != report.spec.end() && found->is_object()) {
    const auto number = [&](const char* pointer) { return found->value(json::json_pointer(pointer), 0.0); };
    text += fmt::format("adds ≤ {:.0f} µs to a TTFT (p99), up to {} requests/s; ", number("/added_ttft_us/p99"),
                        format_count(static_cast<std::int64_t>(number("/requests_per_s"))));
  }
  const LoadSummary& summary = report.summary;
  text += summary.lag_p99 ? fmt::format("its lag here: p99 {} ms", milliseconds_text(summary.lag_p99->value))
                          : std::string("its lag here: unknown");
  if (summary.held_back_p99.value_or(0) > 0.01)
    text += fmt::format("; held back by the cap on concurrency: p99 {} ms", milliseconds_text(summary.held_back_p99));
  return wrap(text, terminal_columns, 10) + "\n";
}

std::string requests_text(const LoadSummary& summary) {
  std::string text =
      fmt::format("requests  {} sent, {} answered", format_count(summary.requests), format_count(summary.answered));
  if (summary.warm_up > 0)
    text += fmt::format("; the first {} are warm-up and in none of these figures", format_count(summary.warm_up));
  if (summary.retries > 0) text += fmt::format("; {} retries", format_count(summary.retries));
  text = wrap(text, terminal_columns, 10) + "\n";
  for (const auto& [outcome, count] : summary.outcomes) {
    if (outcome == "ok") continue;
    std::string_view meaning = "the server answered with that status";
    for (const auto& [word, said] : load::outcome_words())
      if (word == outcome) meaning = said;
    std::string line = fmt::format("          {} {}: {}", format_count(count), outcome, meaning);
    if (const auto said = summary.details.find(outcome); said != summary.details.end())
      line += fmt::format("{}: {}", count > 1 ? "; the first" : "", said->second);
    text += wrap(line, terminal_columns, 12) + "\n";
  }
  return text;
}

std::string rates_text(const LoadReport& report) {
  const LoadSummary& summary = report.summary;
  const bool has_schedule = text_of(report.spec, "rate") != "?" || text_of(report.spec, "trace") != "?";
  std::string text = fmt::format("rates     {} answered", per_second(summary.requests_per_s));
  if (has_schedule && summary.offered_per_s)
    text += fmt::format(" of {} sent by schedule", per_second(*summary.offered_per_s));
  text += summary.output_tokens_per_s ? fmt::format(", {:.4g} output tokens/s", *summary.output_tokens_per_s)
                                      : std::string(", output tokens/s unknown");
  text +=
      fmt::format("; at most {} at once, in {}", summary.most_at_once, format_duration(from_seconds(summary.seconds)));
  text = wrap(text, terminal_columns, 10) + "\n";
  std::string tokens = "tokens    ";
  tokens += summary.prompt_tokens ? format_count(*summary.prompt_tokens) + " of prompts" : "of prompts unknown";
  tokens += summary.output_tokens ? fmt::format(", {} of outputs", format_count(*summary.output_tokens))
                                  : fmt::format(", of outputs unknown for {} requests", summary.unknown_tokens);
  tokens += ", as the server counts";
  if (summary.tokens_per_chunk) tokens += fmt::format("; {:.3g} a chunk", *summary.tokens_per_chunk);
  if (summary.other_lengths > 0)
    tokens += fmt::format("; {} outputs are not as long as asked for", format_count(summary.other_lengths));
  return text + wrap(tokens, terminal_columns, 10) + "\n";
}

std::string goodput_text(const LoadReport& report) {
  const auto& goodput = report.summary.goodput;
  if (!goodput) return "";
  std::string text = fmt::format("goodput   {} meet {}: {} of all", per_second(goodput->requests_per_s),
                                 text_of(report.spec, "slo"), percent_text(goodput->share));
  if (goodput->unknown > 0) text += fmt::format("; {} unknown, which count as not met", format_count(goodput->unknown));
  return wrap(text, terminal_columns, 10) + "\n";
}

json quantile_json(const QuantileInterval& quantile) {
  return {{"value", quantile.value}, {"low", or_null(quantile.low)}, {"high", or_null(quantile.high)}};
}

json metric_json(const MetricSummary& metric) {
  return {{"count", metric.count},
          {"unknown", metric.unknown},
          {"formula", words_of(metric.metric).formula},
          {"mean_ms", metric.mean},
          {"min_ms", metric.least},
          {"max_ms", metric.most},
          {"p50_ms", quantile_json(metric.p50)},
          {"p90_ms", quantile_json(metric.p90)},
          {"p99_ms", quantile_json(metric.p99)}};
}

json to_json(const LoadReport& report) {
  const LoadSummary& summary = report.summary;
  json metrics = json::object();
  for (const MetricSummary& metric : summary.metrics)
    metrics[std::string(words_of(metric.metric).word)] = metric_json(metric);
  json goodput;
  if (summary.goodput)
    goodput = {{"slo", text_of(report.spec, "slo")},
               {"met", summary.goodput->met},
               {"unknown", summary.goodput->unknown},
               {"share", summary.goodput->share},
               {"requests_per_s", summary.goodput->requests_per_s},
               {"output_tokens_per_s", or_null(summary.goodput->output_tokens_per_s)}};
  return {{"asked", report.spec},
          {"valid", summary.invalid.empty()},
          {"invalid", summary.invalid},
          {"requests", summary.requests},
          {"warm_up", summary.warm_up},
          {"answered", summary.answered},
          {"outcomes", summary.outcomes},
          {"retries", summary.retries},
          {"seconds", summary.seconds},
          {"requests_per_s", summary.requests_per_s},
          {"offered_per_s", or_null(summary.offered_per_s)},
          {"most_at_once", summary.most_at_once},
          {"prompt_tokens", or_null(summary.prompt_tokens)},
          {"output_tokens", or_null(summary.output_tokens)},
          {"output_tokens_per_s", or_null(summary.output_tokens_per_s)},
          {"tokens_per_chunk", or_null(summary.tokens_per_chunk)},
          {"other_lengths", summary.other_lengths},
          {"metrics", metrics},
          {"lag_p50_ms", summary.lag_p50 ? quantile_json(*summary.lag_p50) : json()},
          {"lag_p99_ms", summary.lag_p99 ? quantile_json(*summary.lag_p99) : json()},
          {"held_back_p99_ms", or_null(summary.held_back_p99)},
          {"goodput", goodput}};
}

std::string to_text(const LoadReport& report, bool colour) {
  const LoadSummary& summary = report.summary;
  std::string text = wrap(fmt::format("load      {}, model {}: {}", text_of(report.spec, "url"),
                                      text_of(report.spec, "model"), text_of(report.spec, "shape")),
                          terminal_columns, 10) +
                     "\n" + client_text(report) + requests_text(summary) + rates_text(report) + goodput_text(report);
  if (!summary.metrics.empty()) text += "\n" + metrics_table(summary, colour) + "\n" + note(summary);
  for (const std::string& reason : summary.invalid) {
    const std::string line = wrap("NOT VALID: " + reason, terminal_columns, 0);
    text += "\n" + (colour ? fmt::format("\x1b[31;1m{}\x1b[0m", line) : line) + "\n";
  }
  return text;
}

}  // namespace

LoadReport make_load_report(LoadRunRecord run, std::vector<LoadRequestRecord> requests) {
  LoadReport report{.run = std::move(run), .requests = std::move(requests)};
  report.spec = json::parse(report.run.spec_json, nullptr, false);
  if (!report.spec.is_object()) report.spec = json::object();
  load::LoadSettings settings;
  if (const auto slo = report.spec.find("slo_terms"); slo != report.spec.end() && slo->is_string() && *slo != "")
    settings.slo = load::parse_slo(slo->get<std::string>(), "slo_terms");
  if (const auto warm_up = report.spec.find("warm_up"); warm_up != report.spec.end() && warm_up->is_number_unsigned())
    settings.warm_up = warm_up->get<std::int64_t>();
  report.summary = load::summarize(report.requests, settings);
  return report;
}

std::vector<LoadRequestRecord> measured_requests(const LoadReport& report) {
  std::vector<LoadRequestRecord> requests = load::in_order_of_due(report.requests);
  requests.erase(requests.begin(),
                 requests.begin() + std::min(report.summary.warm_up, static_cast<std::int64_t>(std::ssize(requests))));
  return requests;
}

std::vector<LoadReport> read_load_reports(const std::filesystem::path& path) {
  const LoadRunReader reader(path);
  std::vector<LoadReport> reports;
  for (LoadRunRecord& run : reader.runs()) {
    auto requests = reader.requests(run.id);
    reports.push_back(make_load_report(std::move(run), std::move(requests)));
  }
  return reports;
}

std::string to_text(std::span<const LoadReport> reports, bool colour) {
  std::string text;
  for (const LoadReport& report : reports) text += (text.empty() ? "" : "\n") + to_text(report, colour);
  return text;
}

json to_json(std::span<const LoadReport> reports) {
  if (reports.size() == 1) return to_json(reports.front());
  json all = json::array();
  for (const LoadReport& report : reports) all.push_back(to_json(report));
  return all;
}

}  // namespace batchscope
