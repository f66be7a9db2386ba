// Facts, figures and tables of load runs (report/page/load_page.h).
#include "report/page/load_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/units.h"
#include "load/outcome.h"
#include "report/figure/load_figures.h"
#include "report/page/html.h"
#include "report/page/page_series.h"
#include "report/page/page_tables.h"
#include "report/table_fields.h"

namespace batchscope {
namespace {

using Field = TextTable::Field;
using load::LoadSummary;
using load::Metric;
using load::MetricSummary;

std::string said_of(const LoadReport& report, const char* key) {
  const auto found = report.spec.find(key);
  return found != report.spec.end() && found->is_string() ? found->get<std::string>() : "?";
}

Field number_field(const std::optional<double>& value) {
  return value ? Field{fmt::format("{:.4g}", *value), Colour::none, value} : Field{"?"};
}
Field milliseconds_field(const std::optional<double>& value) {
  return value ? Field{milliseconds_text(value), Colour::none, value} : Field{"?"};
}

const MetricSummary* find_metric(const LoadSummary& summary, Metric metric) {
  for (const MetricSummary& one : summary.metrics)
    if (one.metric == metric) return &one;
  return nullptr;
}

std::optional<double> quantile_of(const LoadSummary& summary, Metric metric,
                                  load::QuantileInterval MetricSummary::*quantile) {
  const MetricSummary* one = find_metric(summary, metric);
  return one == nullptr ? std::nullopt : std::optional((one->*quantile).value);
}

PageFact latency_fact(const LoadSummary& summary, Metric metric, const char* label) {
  const MetricSummary* one = find_metric(summary, metric);
  if (one == nullptr) return {};
  std::string detail = fmt::format("p99 {} ms", milliseconds_text(one->p99.value));
  if (one->p50.low && one->p50.high)
    detail =
        fmt::format("95 %: {} to {} ms; {}", milliseconds_text(one->p50.low), milliseconds_text(one->p50.high), detail);
  return {.label = label, .value = milliseconds_text(one->p50.value) + " ms", .detail = detail};
}

PageFact validity_of_runs(std::span<const LoadReport> reports) {
  std::int64_t invalid = 0;
  for (const LoadReport& report : reports) invalid += report.summary.invalid.empty() ? 0 : 1;
  if (reports.size() == 1)
    return {.label = "Validity",
            .value = invalid == 0 ? "valid" : "NOT VALID",
            .detail = invalid == 0 ? "the client kept up" : reports[0].summary.invalid.front(),
            .is_bad = invalid > 0};
  return {.label = "Validity",
          .value = invalid == 0 ? "all valid" : fmt::format("{} of {} not valid", invalid, reports.size()),
          .detail = "as measurements",
          .is_bad = invalid > 0};
}

std::vector<PageFact> facts_of_one(const LoadReport& report) {
  const LoadSummary& summary = report.summary;
  const std::int64_t measured = summary.requests - summary.warm_up;
  std::vector<PageFact> facts{
      {.label = "Answered",
       .value = fmt::format("{} of {}", format_count(summary.answered), format_count(measured)),
       .detail = summary.warm_up > 0 ? fmt::format("after {} of warm-up", format_count(summary.warm_up)) : "",
       .is_bad = summary.answered < measured},
      latency_fact(summary, Metric::ttft, "Median TTFT"),
      latency_fact(summary, Metric::tpot, "Median TPOT"),
      latency_fact(summary, Metric::e2e, "Median E2E"),
      {.label = "Throughput",
       .value = fmt::format("{:.4g} requests/s", summary.requests_per_s),
       .detail =
           summary.output_tokens_per_s ? fmt::format("{:.4g} output tokens/s", *summary.output_tokens_per_s) : ""}};
  if (summary.goodput)
    facts.push_back(
        {.label = "Goodput",
         .value = fmt::format("{:.4g} requests/s", summary.goodput->requests_per_s),
         .detail = fmt::format("{} meet {}", percent_text(summary.goodput->share), said_of(report, "slo"))});
  return facts;
}

std::vector<PageFact> facts_of_several(std::span<const LoadReport> reports, const std::vector<std::string>& labels) {
  std::vector<PageFact> facts{{.label = "Runs", .value = std::to_string(reports.size())}};
  const auto best = [&](const auto& value) -> std::optional<std::size_t> {
    std::optional<std::size_t> place;
    for (std::size_t run = 0; run < reports.size(); ++run) {
      if (!reports[run].summary.invalid.empty() || !value(reports[run])) continue;
      if (!place || *value(reports[run]) > *value(reports[*place])) place = run;
    }
    return place;
  };
  const auto goodput = [](const LoadReport& report) {
    return report.summary.goodput ? std::optional(report.summary.goodput->requests_per_s) : std::nullopt;
  };
  const auto rate = [](const LoadReport& report) { return std::optional(report.summary.requests_per_s); };
  if (const auto place = best(goodput))
    facts.push_back(
        {.label = "Highest goodput",
         .value = fmt::format("{:.4g} requests/s", *goodput(reports[*place])),
         .detail = fmt::format("{}: {} meet {}", labels[*place], percent_text(reports[*place].summary.goodput->share),
                               said_of(reports[*place], "slo"))});
  if (const auto place = best(rate))
    facts.push_back({.label = "Highest throughput",
                     .value = fmt::format("{:.4g} requests/s", *rate(reports[*place])),
                     .detail = labels[*place]});
  std::int64_t answered = 0, measured = 0;
  for (const LoadReport& report : reports) {
    answered += report.summary.answered;
    measured += report.summary.requests - report.summary.warm_up;
  }
  facts.push_back({.label = "Answered",
                   .value = fmt::format("{} of {}", format_count(answered), format_count(measured)),
                   .is_bad = answered < measured});
  return facts;
}

std::string asked_text(const LoadReport& report) {
  return fmt::format("{}, model {}: {}", said_of(report, "url"), said_of(report, "model"), said_of(report, "shape"));
}

Section runs_section(std::span<const LoadReport> reports, const std::vector<std::string>& labels) {
  TextTable table({"run", "answered", "failed", "requests/s", "output tokens/s", "TTFT p50, ms", "p99", "TPOT p50, ms",
                   "p99", "E2E p50, ms", "p99", "goodput, requests/s", "share", "valid", "asked"});
  for (std::size_t run = 0; run < reports.size(); ++run) {
    const LoadSummary& summary = reports[run].summary;
    const std::int64_t failed = summary.requests - summary.warm_up - summary.answered;
    std::vector<Field> row{{labels[run]},
                          count_field(summary.answered),
                          count_field(failed),
                          number_field(summary.requests_per_s),
                          number_field(summary.output_tokens_per_s)};
    if (failed > 0) row.back().colour = Colour::none, row[2].colour = Colour::red;
    for (const Metric metric : {Metric::ttft, Metric::tpot, Metric::e2e}) {
      row.push_back(milliseconds_field(quantile_of(summary, metric, &MetricSummary::p50)));
      row.push_back(milliseconds_field(quantile_of(summary, metric, &MetricSummary::p99)));
    }
    const auto& goodput = summary.goodput;
    row.push_back(goodput ? number_field(goodput->requests_per_s) : Field{""});
    row.push_back(goodput ? share_field(goodput->share) : Field{""});
    row.push_back(summary.invalid.empty() ? Field{"yes"} : Field{"NO: " + summary.invalid.front(), Colour::red});
    row.push_back({asked_text(reports[run])});
    table.add(std::move(row));
  }
  return {"runs", "Runs", std::move(table)};
}

Section metrics_section(const LoadReport& report, const std::string& title, std::size_t number) {
  TextTable table({"milliseconds", "mean", "p50", "from", "to", "p90", "p99", "from", "to", "max", "formula"});
  for (const MetricSummary& metric : report.summary.metrics) {
    const load::MetricWords& words = load::metric_words()[static_cast<std::size_t>(metric.metric)];
    const bool is_of_gaps = metric.metric == Metric::itl || metric.metric == Metric::icl;
    const auto bound = [&](const std::optional<double>& value, const char* unbounded) {
      return is_of_gaps ? Field{""} : value ? milliseconds_field(value) : Field{unbounded};
    };
    table.add({{std::string(words.title)},
               milliseconds_field(metric.mean),
               milliseconds_field(metric.p50.value),
               bound(metric.p50.low, "-∞"),
               bound(metric.p50.high, "∞"),
               milliseconds_field(metric.p90.value),
               milliseconds_field(metric.p99.value),
               bound(metric.p99.low, "-∞"),
               bound(metric.p99.high, "∞"),
               milliseconds_field(metric.most),
               {std::string(words.formula)}});
  }
  return {
      fmt::format("latencies-{}", number),
      title,
      std::move(table),
      {"Percentiles lie between neighbouring values (numpy's linear); from and to are their 95 % intervals by order "
       "statistics, ∞ where too few requests bound them from above: p99 needs 368."}};
}

Section outcomes_section(std::span<const LoadReport> reports, const std::vector<std::string>& labels) {
  TextTable table({"run", "outcome", "requests", "meaning", "the first said"});
  for (std::size_t run = 0; run < reports.size(); ++run)
    for (const auto& [outcome, count] : reports[run].summary.outcomes) {
      std::string_view meaning = "the server answered with that status";
      for (const auto& [word, said] : load::outcome_words())
        if (word == outcome) meaning = said;
      const auto detail = reports[run].summary.details.find(outcome);
      table.add({{labels[run]},
                 {outcome, outcome == "ok" ? Colour::none : Colour::red},
                 count_field(count),
                 {std::string(meaning)},
                 {detail == reports[run].summary.details.end() ? "" : detail->second}});
    }
  return {"outcomes", "What became of the requests", std::move(table)};
}

std::vector<Figure> take_figures(std::vector<Figure>& figures, const std::vector<std::string_view>& ids) {
  std::vector<Figure> taken;
  for (const std::string_view id : ids)
    for (Figure& figure : figures)
      if (figure.id == id) taken.push_back(std::exchange(figure, {}));
  std::erase_if(figures, [](const Figure& figure) { return figure.id.empty(); });  // those that were moved from
  return taken;
}

// Series of a session while the run lasted, on that session's clock.
class SeriesBeside {
 public:
  SeriesBeside(const StoreReader& reader, std::size_t runs) : reader_(reader), runs_(runs) {
    for (const SessionRecord& session : reader.sessions()) sessions_.push_back({session, reader.series(session.id)});
  }

  std::string html(const LoadReport& report, const std::string& label) {
    std::string html;
    Nanoseconds last{0};
    for (const LoadRequestRecord& request : report.requests) last = std::max(last, request.end.value_or(last));
    for (const auto& [session, all] : sessions_) {
      const Nanoseconds begin =
          session.id == report.run.session ? report.run.begin : report.run.begin_unix - session.monotonic_zero_unix;
      std::vector<SeriesRecord> within;
      for (const SeriesRecord& series : all) {
        const SeriesSummary summary = reader_.summary(series.id);
        if (summary.begin && *summary.begin <= begin + last && *summary.end >= begin) within.push_back(series);
      }
      if (within.empty()) continue;
      const std::string id = fmt::format("series-run-{}-{}", report.run.id, session.id);
      const SeriesBudget budget =
          series_budget(static_cast<std::int64_t>(runs_), static_cast<std::int64_t>(within.size()));
      html += fmt::format(
                  "<h3>{}, as session {} ({}) recorded it</h3>\n<div class=\"series at-once\" "
                  "data-series=\"{}\"></div>\n",
                  html_text(label), session.id, html_text(session.verb), id) +
              script_json(id, interval_json(reader_, within, reader_.session_phases(session.id), begin, begin + last,
                                            budget, names_));
    }
    return html;
  }
  std::string names_html() const { return script_json("series-names", names_.json()); }

 private:
  const StoreReader& reader_;
  std::size_t runs_;
  std::vector<std::pair<SessionRecord, std::vector<SeriesRecord>>> sessions_{};
  SeriesNames names_{};
};

PagePart server_part(std::span<const LoadReport> reports, const std::vector<std::string>& labels,
                     const StoreReader& reader) {
  PagePart part{.id = "server", .title = "Server and machine"};
  SeriesBeside beside(reader, reports.size());
  for (std::size_t run = 0; run < reports.size(); ++run) part.html += beside.html(reports[run], labels[run]);
  if (part.html.empty()) return part;
  part.intro = {"What was recorded while the requests were under way, from the run's start to its last answer."};
  part.html +=
      "<noscript><p class=\"note\">Time series are drawn by JavaScript.</p></noscript>\n" + beside.names_html();
  return part;
}

}  // namespace

Page load_page(std::span<const LoadReport> reports, const StoreReader& reader) {
  const std::vector<SessionRecord> sessions = reader.sessions();
  Page page{.title = reports.size() == 1 ? "load on " + said_of(reports[0], "model")
                                         : fmt::format("{} load runs", reports.size()),
            .subtitle = origin_text(sessions.empty() ? std::map<std::string, std::string>{} : sessions[0].environment,
                                    sessions)};
  const std::vector<std::string> labels = load_run_labels(reports);
  page.facts = reports.size() == 1 ? facts_of_one(reports[0]) : facts_of_several(reports, labels);
  page.facts.push_back(validity_of_runs(reports));
  std::erase_if(page.facts, [](const PageFact& fact) { return fact.value.empty(); });
  std::vector<Figure> figures = load_figures(reports);
  PagePart runs{.id = "load", .title = reports.size() == 1 ? "Run" : "Runs"};
  if (reports.size() == 1) runs.intro = {asked_text(reports[0])};
  runs.figures = take_figures(figures, {"goodput_rate", "ttft_rate", "tpot_rate", "e2e_rate", "goodput_concurrency",
                                        "ttft_concurrency", "tpot_concurrency", "e2e_concurrency"});
  runs.sections = {runs_section(reports, labels), outcomes_section(reports, labels)};
  PagePart latencies{.id = "latency", .title = "Latency"};
  latencies.figures =
      take_figures(figures, {"distribution_ttft", "distribution_itl", "distribution_tpot", "distribution_e2e"});
  for (std::size_t run = 0; run < reports.size(); ++run)
    if (!reports[run].summary.metrics.empty())
      latencies.sections.push_back(
          metrics_section(reports[run], reports.size() == 1 ? "Latencies" : "Latencies of " + labels[run], run + 1));
  page.parts.push_back(std::move(runs));
  if (!latencies.figures.empty() || !latencies.sections.empty()) page.parts.push_back(std::move(latencies));
  if (!figures.empty()) page.parts.push_back({.id = "over-time", .title = "Over time", .figures = std::move(figures)});
  if (PagePart server = server_part(reports, labels, reader); !server.html.empty())
    page.parts.push_back(std::move(server));
  page.parts.push_back(origin_part(reader));
  return page;
}

}  // namespace batchscope
