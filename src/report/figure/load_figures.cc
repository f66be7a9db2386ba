// report/figure/load_figures.h
#include "report/figure/load_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "load/metrics.h"
#include "report/figure/figure_parts.h"

namespace batchscope {
namespace {

using load::Metric;

constexpr std::size_t most_drawn_runs = 10;  // curves in one figure that an eye can tell apart
constexpr std::size_t points_of_a_curve = 200;

std::string word_in(const LoadReport& report, const char* key) {
  const auto found = report.spec.find(key);
  return found != report.spec.end() && found->is_string() ? found->get<std::string>() : "";
}

std::optional<double> rate_of(const LoadReport& report) {
  const std::string text = word_in(report, "rate");
  return text.empty() ? std::nullopt : std::optional(std::atof(text.c_str()));
}

// Of a closed loop.
std::optional<double> concurrency_of(const LoadReport& report) {
  const auto cap = report.spec.find("concurrency");
  const bool is_closed = !rate_of(report) && word_in(report, "trace").empty();
  return is_closed && cap != report.spec.end() && cap->is_number() ? std::optional(cap->get<double>()) : std::nullopt;
}

std::string server_of(const LoadReport& report) {
  return fmt::format("{} at {}", word_in(report, "model"), word_in(report, "url"));
}

std::string short_label(const LoadReport& report) {
  if (!word_in(report, "trace").empty()) return "trace at " + word_in(report, "trace_speed") + "x";
  if (const auto rate = rate_of(report)) return fmt::format("{:g}/s", *rate);
  if (const std::string sessions = word_in(report, "sessions"); !sessions.empty()) return sessions + " sessions";
  if (const auto cap = concurrency_of(report)) return fmt::format("concurrency {:g}", *cap);
  return word_in(report, "shape");
}

double milliseconds_of(Nanoseconds time) { return to_seconds(time) * 1e3; }

std::vector<double> sorted_values(const LoadReport& report, Metric metric) {
  std::vector<double> values;
  for (const LoadRequestRecord& request : measured_requests(report)) {
    if (request.outcome != "ok") continue;
    if (metric == Metric::itl || metric == Metric::icl) {
      for (const Nanoseconds gap : load::gaps_of(metric, request)) values.push_back(milliseconds_of(gap));
    } else if (const auto value = load::value_of(metric, request)) {
      values.push_back(milliseconds_of(*value));
    }
  }
  std::sort(values.begin(), values.end());
  return values;
}

const load::MetricWords& words_for(Metric metric) { return load::metric_words()[static_cast<std::size_t>(metric)]; }

// The share of requests, or gaps, that took at most so long.
Figure distribution_figure(std::span<const LoadReport> reports, const std::vector<std::string>& labels, Metric metric) {
  const load::MetricWords& words = words_for(metric);
  const bool is_of_gaps = metric == Metric::itl;
  Figure figure{
      .id = fmt::format("distribution_{}", words.word),
      .title = fmt::format("Distribution of {}", words.title),
      .caption = fmt::format("Share of {} that took at most that long. {} = {}.",
                             is_of_gaps ? "gaps between tokens" : "answered requests", words.title, words.formula),
      .kind = FigureKind::curves,
      .x = {.label = fmt::format("{}, milliseconds", words.title), .unit = FigureUnit::milliseconds},
      .y = {.label = is_of_gaps ? "share of gaps" : "share of requests", .unit = FigureUnit::share}};
  double least = INFINITY, most = 0;
  for (std::size_t run = 0; run < reports.size(); ++run) {
    const std::vector<double> values = sorted_values(reports[run], metric);
    if (values.size() < 2) continue;
    FigureSeries series{.name = labels[run], .style = run};
    const std::size_t points = std::min(points_of_a_curve, values.size());
    for (std::size_t i = 0; i < points; ++i) {
      const std::size_t place = i * (values.size() - 1) / (points - 1);
      series.points.push_back(
          {.x = values[place], .y = static_cast<double>(place + 1) / static_cast<double>(values.size())});
    }
    least = std::min(least, values.front());
    most = std::max(most, values.back());
    figure.series.push_back(std::move(series));
  }
  figure.x.logarithmic = least > 0 && most > 20 * least;
  figure.x.from_zero = false;
  return figure;
}

// Over the rate of the schedule or the concurrency of a closed loop: a series for each server.
struct Sweep {
  const char* word;
  FigureAxis axis;
  std::optional<double> (*place)(const LoadReport&);
};

std::vector<std::vector<const LoadReport*>> servers_in(std::span<const LoadReport> reports, const Sweep& sweep) {
  std::map<std::string, std::vector<const LoadReport*>> of_server;
  for (const LoadReport& report : reports)
    if (sweep.place(report)) of_server[server_of(report)].push_back(&report);
  std::vector<std::vector<const LoadReport*>> servers;
  std::set<double> places;
  for (auto& [server, runs] : of_server) {
    std::stable_sort(runs.begin(), runs.end(),
                     [&](const auto* a, const auto* b) { return *sweep.place(*a) < *sweep.place(*b); });
    for (const LoadReport* run : runs) places.insert(*sweep.place(*run));
    servers.push_back(std::move(runs));
  }
  return places.size() < 2 ? std::vector<std::vector<const LoadReport*>>() : servers;
}

template <class Value>
void add_sweep(Figure& figure, const Sweep& sweep, const std::vector<std::vector<const LoadReport*>>& servers,
               const std::string& what, FigureStroke stroke, const Value& value) {
  for (std::size_t server = 0; server < servers.size(); ++server) {
    FigureSeries series{.name = servers.size() > 1 ? fmt::format("{}, {}", server_of(*servers[server][0]), what) : what,
                        .style = servers.size() > 1 ? server : figure.series.size(),
                        .stroke = stroke};
    for (const LoadReport* run : servers[server]) {
      std::optional<FigurePoint> point = value(*run);
      if (!point) continue;
      point->x = *sweep.place(*run);
      if (!run->summary.invalid.empty()) {
        point->hollow = true;
        point->note = "not valid: " + run->summary.invalid.front();
      }
      series.points.push_back(std::move(*point));
    }
    if (!series.points.empty()) figure.series.push_back(std::move(series));
  }
}

Figure goodput_figure(std::span<const LoadReport> reports, const Sweep& sweep) {
  const auto servers = servers_in(reports, sweep);
  Figure figure{.id = fmt::format("goodput_{}", sweep.word),
                .title = fmt::format("Goodput and throughput by {}", sweep.word),
                .caption = "Hollow markers: not valid as a measurement.",
                .x = sweep.axis,
                .y = {.label = "requests per second", .unit = FigureUnit::per_s}};
  if (servers.empty()) return figure;
  const std::string slo = word_in(*servers[0][0], "slo");
  add_sweep(figure, sweep, servers, slo.empty() ? "goodput" : "meeting " + slo, FigureStroke::solid,
            [](const LoadReport& run) -> std::optional<FigurePoint> {
              if (!run.summary.goodput) return std::nullopt;
              return FigurePoint{.y = run.summary.goodput->requests_per_s};
            });
  if (figure.series.empty()) figure.title = fmt::format("Throughput by {}", sweep.word);
  add_sweep(figure, sweep, servers, "answered", FigureStroke::dashed,
            [](const LoadReport& run) -> std::optional<FigurePoint> {
              if (run.summary.answered == 0) return std::nullopt;
              return FigurePoint{.y = run.summary.requests_per_s};
            });
  return figure;
}

const load::MetricSummary* summary_of(const LoadReport& report, Metric metric) {
  for (const load::MetricSummary& one : report.summary.metrics)
    if (one.metric == metric) return &one;
  return nullptr;
}

Figure latency_figure(std::span<const LoadReport> reports, const Sweep& sweep, Metric metric) {
  const load::MetricWords& words = words_for(metric);
  const auto servers = servers_in(reports, sweep);
  Figure figure{.id = fmt::format("{}_{}", words.word, sweep.word),
                .title = fmt::format("{} by {}", words.title, sweep.word),
                .caption = "With 95 % intervals, where there are enough requests for both bounds.",
                .x = sweep.axis,
                .y = {.label = "milliseconds", .unit = FigureUnit::milliseconds}};
  for (const auto& [what, quantile, stroke] : {std::tuple("p50", &load::MetricSummary::p50, FigureStroke::solid),
                                               {"p99", &load::MetricSummary::p99, FigureStroke::dashed}})
    add_sweep(figure, sweep, servers, what, stroke,
              [metric, quantile = quantile](const LoadReport& run) -> std::optional<FigurePoint> {
                const load::MetricSummary* one = summary_of(run, metric);
                if (one == nullptr) return std::nullopt;
                const load::QuantileInterval& value = one->*quantile;
                FigurePoint point{.y = value.value};
                if (value.low && value.high) point.low = value.low, point.high = value.high;
                return point;
              });
  const auto [low, high] = range_of_y(figure);
  figure.y.logarithmic = low > 0 && high > 50 * low;
  return figure;
}

FigureAxis time_axis() { return {.label = "seconds since the run's start", .unit = FigureUnit::seconds}; }

// A marker for each request; of many those that took longest in their part of the time.
Figure requests_figure(std::span<const LoadReport> reports, const std::vector<std::string>& labels) {
  Figure figure{.id = "requests",
                .title = "TTFT of each request, by when it was intended",
                .caption = "Warm-up is shown, too.",
                .x = time_axis(),
                .y = {.label = "TTFT, milliseconds", .unit = FigureUnit::milliseconds}};
  const std::size_t most = 600 / std::max<std::size_t>(reports.size(), 1);
  bool are_thinned = false;
  for (std::size_t run = 0; run < reports.size(); ++run) {
    FigureSeries series{.name = labels[run], .style = run, .stroke = FigureStroke::none};
    for (const LoadRequestRecord& request : load::in_order_of_due(reports[run].requests))
      if (const auto ttft = load::value_of(Metric::ttft, request))
        series.points.push_back({.x = to_seconds(request.intended), .y = milliseconds_of(*ttft)});
    if (series.points.size() > most) {
      are_thinned = true;
      std::vector<FigurePoint> longest;
      for (std::size_t i = 0; i < most; ++i) {
        const auto begin = series.points.begin() + static_cast<std::ptrdiff_t>(i * series.points.size() / most);
        const auto end = series.points.begin() + static_cast<std::ptrdiff_t>((i + 1) * series.points.size() / most);
        longest.push_back(*std::max_element(begin, end, [](const auto& a, const auto& b) { return a.y < b.y; }));
      }
      series.points = std::move(longest);
    }
    if (!series.points.empty()) figure.series.push_back(std::move(series));
  }
  if (are_thinned) figure.caption += " Of neighbours only the longest is drawn, where there are many.";
  const auto [low, high] = range_of_y(figure);
  figure.y.logarithmic = low > 0 && high > 50 * low;
  return figure;
}

double end_of(const LoadReport& report) {
  Nanoseconds end{1};
  for (const LoadRequestRecord& request : report.requests) end = std::max(end, request.end.value_or(Nanoseconds(0)));
  return to_seconds(end);
}

// How many were with the server; of each part of the time the most.
Figure under_way_figure(std::span<const LoadReport> reports, const std::vector<std::string>& labels) {
  Figure figure{.id = "under_way",
                .title = "Requests under way",
                .caption = "Sent and not yet answered; of each part of the time the most.",
                .kind = FigureKind::curves,
                .x = time_axis(),
                .y = {.label = "requests", .unit = FigureUnit::count}};
  for (std::size_t run = 0; run < reports.size(); ++run) {
    std::vector<std::pair<double, int>> changes;
    for (const LoadRequestRecord& request : reports[run].requests) {
      if (!request.sent || !request.end) continue;
      changes.emplace_back(to_seconds(*request.sent), 1);
      changes.emplace_back(to_seconds(*request.end), -1);
    }
    if (changes.empty()) continue;
    std::sort(changes.begin(), changes.end());
    FigureSeries series{.name = labels[run], .style = run};
    const double step = end_of(reports[run]) / static_cast<double>(points_of_a_curve);
    int now = 0;
    std::size_t next = 0;
    for (std::size_t i = 0; i < points_of_a_curve; ++i) {
      int most = now;
      for (; next < changes.size() && changes[next].first <= step * static_cast<double>(i + 1); ++next)
        most = std::max(most, now += changes[next].second);
      series.points.push_back({.x = step * (static_cast<double>(i) + 0.5), .y = static_cast<double>(most)});
    }
    figure.series.push_back(std::move(series));
  }
  return figure;
}

// By when they arrived; only of runs that know how many tokens each chunk had.
Figure tokens_figure(std::span<const LoadReport> reports, const std::vector<std::string>& labels) {
  constexpr std::size_t parts = 60;
  Figure figure{.id = "tokens",
                .title = "Output tokens over time",
                .caption = "By when they arrived, those of the warm-up and of failed requests, too.",
                .kind = FigureKind::curves,
                .x = time_axis(),
                .y = {.label = "tokens per second", .unit = FigureUnit::per_s}};
  for (std::size_t run = 0; run < reports.size(); ++run) {
    const double step = end_of(reports[run]) / static_cast<double>(parts);
    std::vector<double> tokens(parts);
    bool are_known = true, are_any = false;
    for (const LoadRequestRecord& request : reports[run].requests)
      for (const ChunkRecord& chunk : request.chunks) {
        are_known = are_known && chunk.tokens.has_value();
        are_any = are_any || chunk.tokens.value_or(0) > 0;
        const double place = std::clamp(to_seconds(chunk.at) / step, 0.0, static_cast<double>(parts - 1));
        tokens[static_cast<std::size_t>(place)] += static_cast<double>(chunk.tokens.value_or(0)) / step;
      }
    if (!are_known || !are_any) continue;
    FigureSeries series{.name = labels[run], .style = run};
    for (std::size_t i = 0; i < parts; ++i)
      series.points.push_back({.x = step * (static_cast<double>(i) + 0.5), .y = tokens[i]});
    figure.series.push_back(std::move(series));
  }
  return figure;
}

}  // namespace

std::vector<std::string> load_run_labels(std::span<const LoadReport> reports) {
  std::vector<std::string> labels;
  std::set<std::string> servers;
  for (const LoadReport& report : reports) servers.insert(server_of(report));
  std::map<std::string, int> count;
  for (const LoadReport& report : reports) {
    labels.push_back(short_label(report));
    if (servers.size() > 1) labels.back() += ", " + server_of(report);
    ++count[labels.back()];
  }
  for (std::size_t run = 0; run < labels.size(); ++run)
    if (count[labels[run]] > 1) labels[run] += fmt::format(" (run {})", run + 1);
  return labels;
}

std::vector<Figure> load_figures(std::span<const LoadReport> reports) {
  const FigureAxis rate_axis{.label = "requests per second by schedule", .unit = FigureUnit::per_s};
  const FigureAxis concurrency_axis{
      .label = "concurrency (requests)", .unit = FigureUnit::count, .logarithmic = true, .from_zero = false};
  std::vector<Figure> figures;
  for (const Sweep& sweep :
       {Sweep{"rate", rate_axis, rate_of}, Sweep{"concurrency", concurrency_axis, concurrency_of}}) {
    figures.push_back(goodput_figure(reports, sweep));
    for (const Metric metric : {Metric::ttft, Metric::tpot, Metric::e2e})
      figures.push_back(latency_figure(reports, sweep, metric));
  }
  const std::vector<std::string> labels = load_run_labels(reports);
  const auto drawn = reports.first(std::min(most_drawn_runs, reports.size()));
  const std::size_t of_runs = figures.size();
  for (const Metric metric : {Metric::ttft, Metric::itl, Metric::tpot, Metric::e2e})
    figures.push_back(distribution_figure(drawn, labels, metric));
  figures.push_back(requests_figure(drawn, labels));
  figures.push_back(under_way_figure(drawn, labels));
  figures.push_back(tokens_figure(drawn, labels));
  if (drawn.size() < reports.size())
    for (std::size_t i = of_runs; i < figures.size(); ++i)
      figures[i].caption += fmt::format(" Of the first {} runs of {}.", drawn.size(), reports.size());
  std::erase_if(figures, [](const Figure& figure) { return figure.series.empty(); });
  return figures;
}

}  // namespace batchscope
