// The figures of a study (report/figure/figures.h): those over batch and of traffic. The rest is in
// figures_compared.cc.
#include "report/figure/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/units.h"
#include "report/cell_numbers.h"
#include "report/figure/figure_parts.h"
#include "report/text.h"
#include "study/grid.h"

namespace batchscope {
namespace {

constexpr const char* hollow_caption = "Hollow markers: cut to a token limit, degraded, or not valid as a measurement.";

const FigureAxis batch_axis{
    .label = "batch (sequences)", .unit = FigureUnit::count, .logarithmic = true, .from_zero = false};
const FigureAxis rate_axis{.label = "requests that arrive, per second", .unit = FigureUnit::per_s};

// A series a strategy. `point` gives y and its interval; x, style and doubts are added here.
void add_over_batch(Figure& figure, const StudyReport& report, const PointOf& point, Trust trust,
                    FigureStroke stroke = FigureStroke::solid) {
  for (std::size_t strategy = 0; strategy < report.strategies.size(); ++strategy) {
    FigureSeries series = series_of(report, strategy, stroke);
    for (const CellSummary* cell : cells_by_batch(report, strategy)) {
      std::optional<FigurePoint> made = point(*cell);
      if (!made) continue;
      made->x = static_cast<double>(cell->spec.run.batch);
      add_doubt(*made, *cell, trust);
      series.points.push_back(std::move(*made));
    }
    if (!series.points.empty()) figure.series.push_back(std::move(series));
  }
}

PointOf plain(std::optional<double> (*value)(const CellSummary&)) {
  return [value](const CellSummary& cell) -> std::optional<FigurePoint> {
    const auto y = has_numbers(cell) ? value(cell) : std::nullopt;
    return y ? std::optional(FigurePoint{.y = *y}) : std::nullopt;
  };
}

Figure time_figure(const StudyReport& report) {
  Figure figure{.id = "time",
                .title = "Time of the whole task by batch size",
                .caption = report.repeats > 1
                               ? fmt::format("Means of up to {} repeats with 95 % intervals.", report.repeats)
                               : std::string(),
                .x = batch_axis,
                .y = {.label = "seconds", .unit = FigureUnit::seconds}};
  add_over_batch(
      figure, report,
      [](const CellSummary& cell) -> std::optional<FigurePoint> {
        if (!has_numbers(cell)) return std::nullopt;
        return FigurePoint{.y = cell.time->mean, .low = cell.time->low, .high = cell.time->high};
      },
      Trust::timing);
  return figure;
}

Figure throughput_figure(const StudyReport& report) {
  Figure figure{.id = "throughput",
                .title = "Throughput by batch size",
                .caption = "Requested tokens that were not cut, per second.",
                .x = batch_axis,
                .y = {.label = "tokens per second", .unit = FigureUnit::per_s}};
  add_over_batch(figure, report, plain([](const CellSummary& cell) { return number(cell, "tokens_per_s"); }),
                 Trust::timing);
  return figure;
}

// A line joins cells that differ in their arrival rate alone.
void add_over_rate(Figure& figure, const StudyReport& report, const PointOf& point,
                   FigureStroke stroke = FigureStroke::solid) {
  std::vector<CellSpec> without_rate;
  std::map<std::string, std::vector<std::pair<const CellSummary*, FigurePoint>>> lines;
  for (const CellSummary& cell : report.cells) {
    if (!cell.spec.workload || !cell.spec.workload->arrival_rate) continue;
    std::optional<FigurePoint> made = point(cell);
    if (!made) continue;
    made->x = *cell.spec.workload->arrival_rate;
    CellSpec spec = cell.spec;
    spec.workload->arrival_rate.reset();
    auto& line = lines[cell_key(spec, 1)];
    if (line.empty()) without_rate.push_back(spec);
    line.emplace_back(&cell, std::move(*made));
  }
  const std::vector<std::string> names = short_names(without_rate);
  for (std::size_t i = 0; i < without_rate.size(); ++i) {
    auto& line = lines[cell_key(without_rate[i], 1)];
    if (line.size() < 2) continue;
    std::sort(line.begin(), line.end(), [](const auto& a, const auto& b) { return a.second.x < b.second.x; });
    FigureSeries series{
        .name = fmt::format("{}, batch {}", names[i], without_rate[i].run.batch), .style = i, .stroke = stroke};
    for (auto& [cell, made] : line) {
      add_doubt(made, *cell, Trust::timing);
      series.points.push_back(std::move(made));
    }
    figure.series.push_back(std::move(series));
  }
}

// Percentiles of one of the results' objects.
Figure percentiles_figure(const StudyReport& report, const char* id, const char* title, const char* times,
                          const std::string& what, bool is_over_rate = false) {
  Figure figure{.id = id,
                .title = title,
                .caption = what + "Solid: p50; dashed: p90; dotted: p99.",
                .x = is_over_rate ? rate_axis : batch_axis,
                .y = {.label = "milliseconds", .unit = FigureUnit::milliseconds}};
  constexpr std::pair<const char*, FigureStroke> parts[] = {
      {"p50", FigureStroke::solid}, {"p90", FigureStroke::dashed}, {"p99", FigureStroke::dotted}};
  for (const auto& [key, stroke] : parts) {
    const auto point = [times, key = key](const CellSummary& cell) -> std::optional<FigurePoint> {
      const auto y = has_numbers(cell) ? percentile(cell, times, key) : std::nullopt;
      return y ? std::optional(FigurePoint{.y = *y, .note = key}) : std::nullopt;
    };
    if (is_over_rate)
      add_over_rate(figure, report, point, stroke);
    else
      add_over_batch(figure, report, point, Trust::timing, stroke);
  }
  return figure;
}

std::vector<Figure> latency_figures(const StudyReport& report) {
  const bool generates = std::any_of(report.cells.begin(), report.cells.end(), has_requests);
  const char *const first = "From the arrival of a request. ", *const next = "Of each token after the first. ";
  return {percentiles_figure(report, "latency", generates ? "Latency of a batch, or a step" : "Latency of a batch",
                             "batch_ms", ""),
          percentiles_figure(report, "ttft", "Time to the first token by batch size", "ttft_ms", first),
          percentiles_figure(report, "ttft_rate", "Time to the first token by arrival rate", "ttft_ms", first, true),
          percentiles_figure(report, "tpot", "Time per output token by batch size", "tpot_ms", next),
          percentiles_figure(report, "tpot_rate", "Time per output token by arrival rate", "tpot_ms", next, true)};
}

const FigureAxis goodput_axis{.label = "requests in time, per second", .unit = FigureUnit::per_s};

std::optional<double> goodput_of(const CellSummary& cell) {
  return cell.goodput ? std::optional(cell.goodput->requests_per_s) : std::nullopt;
}

Figure goodput_figure(const StudyReport& report) {
  Figure figure{.id = "goodput",
                .title = "Goodput by batch size",
                .caption = fmt::format("Requests with {}.", report.slo),
                .x = batch_axis,
                .y = goodput_axis};
  add_over_batch(figure, report, plain(goodput_of), Trust::timing);
  return figure;
}

Figure goodput_rate_figure(const StudyReport& report) {
  Figure figure{.id = "goodput_rate",
                .title = "Goodput by arrival rate",
                .caption = fmt::format("Requests with {}.", report.slo),
                .x = rate_axis,
                .y = goodput_axis};
  add_over_rate(figure, report, plain(goodput_of));
  return figure;
}

Figure traffic_figure(const StudyReport& report, bool tx) {
  Figure figure{
      .id = tx ? "traffic_tx" : "traffic_rx",
      .title = tx ? "Traffic sent per device" : "Traffic received per device",
      .caption = "Counted where the bytes are copied; mean of the devices, over the whole run.",
      .x = batch_axis,
      .y = {.label = tx ? "sent, bytes per second" : "received, bytes per second", .unit = FigureUnit::bytes_per_s}};
  add_over_batch(figure, report, plain(tx ? sent_bytes_per_s : received_bytes_per_s), Trust::timing);
  return figure;
}

Figure sent_figure(const StudyReport& report) { return traffic_figure(report, true); }
Figure received_figure(const StudyReport& report) { return traffic_figure(report, false); }

// The paper's Fig. 5, by one of the notions of utilisation.
Figure traffic_against(const StudyReport& report, const char* id, const char* title, const char* label,
                       const std::function<std::optional<double>(const CellSummary&)>& share) {
  Figure figure{.id = id,
                .title = title,
                .caption = "One point per batch size, connected in order and labelled. Mean of the devices.",
                .x = {.label = "sent, bytes per second", .unit = FigureUnit::bytes_per_s},
                .y = {.label = label, .unit = FigureUnit::share}};
  for (std::size_t strategy = 0; strategy < report.strategies.size(); ++strategy) {
    FigureSeries series = series_of(report, strategy, FigureStroke::solid);
    for (const CellSummary* cell : cells_by_batch(report, strategy)) {
      const auto x = has_numbers(*cell) ? sent_bytes_per_s(*cell) : std::nullopt;
      const auto y = share(*cell);
      if (!x || !y) continue;
      const std::int64_t batch = cell->spec.run.batch;
      FigurePoint point{.x = *x, .y = *y, .label = std::to_string(batch), .note = fmt::format("batch {}", batch)};
      add_doubt(point, *cell, Trust::timing);
      series.points.push_back(std::move(point));
    }
    if (!series.points.empty()) figure.series.push_back(std::move(series));
  }
  return figure;
}

Figure utilisation_figure(const StudyReport& report) {
  return traffic_against(report, "traffic_utilisation", "Traffic against utilisation", "share of time spent computing",
                         [](const CellSummary& cell) {
                           return mean_over_devices(cell, [](const DeviceRecord& d) { return d.busy_compute; });
                         });
}
Figure driver_figure(const StudyReport& report) {
  return traffic_against(report, "traffic_driver", "Traffic against the driver's utilisation",
                         "share of time in use, as the driver counts",
                         [](const CellSummary& cell) { return mean_over_devices(cell, "utilisation"); });
}
Figure sm_figure(const StudyReport& report) {
  return traffic_against(report, "traffic_sm", "Traffic against active multiprocessors",
                         "share of multiprocessors active",
                         [](const CellSummary& cell) { return mean_over_devices(cell, "sm_active"); });
}

// What Fig. 4 would have been by the paper's sampler.
Figure paper_figure(const StudyReport& report) {
  Figure figure{.id = "paper",
                .title = "PCIe traffic sent per device, by the paper's method",
                .caption = "Dashed, hollow: the mean of what it read; solid: the exact counter. Mean of the devices.",
                .x = batch_axis,
                .y = {.label = "sent over PCIe, bytes per second", .unit = FigureUnit::bytes_per_s}};
  add_over_batch(figure, report, plain([](const CellSummary& cell) { return paper_number(cell, "tx_bytes_per_s"); }),
                 Trust::timing, FigureStroke::dashed);
  for (FigureSeries& series : figure.series) series.hollow = true;
  add_over_batch(figure, report, plain([](const CellSummary& cell) -> std::optional<double> {
                   const auto bytes = paper_number(cell, "tx_exact_bytes"), seconds = number(cell, "seconds");
                   return bytes && seconds && *seconds > 0 ? std::optional(*bytes / *seconds) : std::nullopt;
                 }),
                 Trust::timing);
  return figure;
}

Figure energy_figure(const StudyReport& report) {
  Figure figure{.id = "energy",
                .title = "Energy by batch size",
                .caption = "Of all devices, by their own counters, over the part that was timed.",
                .x = batch_axis,
                .y = {.label = "joules per question or request"}};
  add_over_batch(figure, report, plain(joules_per_item), Trust::timing);
  return figure;
}

// Dashed and hollow: what the plan says, of cells that ran out of memory too.
void add_planned_memory(Figure& figure, const StudyReport& report) {
  for (std::size_t strategy = 0; strategy < report.strategies.size(); ++strategy) {
    FigureSeries series = series_of(report, strategy, FigureStroke::dashed);
    series.hollow = true;
    for (const CellSummary* cell : cells_by_batch(report, strategy)) {
      const auto planned = planned_bytes(*cell);
      if (!planned || *planned <= 0) continue;
      std::string note = "planned";
      if (cell->status == "out_of_memory") note = fmt::format("out of memory: needs {}", format_bytes(*planned));
      series.points.push_back(
          {.x = static_cast<double>(cell->spec.run.batch), .y = *planned, .note = std::move(note), .hollow = true});
    }
    if (!series.points.empty()) figure.series.push_back(std::move(series));
  }
}

void add_memory_limits(Figure& figure, const StudyReport& report) {
  std::map<std::int64_t, std::string> strategies_of;  // by capacity
  for (const StrategySummary& strategy : report.strategies) {
    if (!strategy.capacity_bytes) continue;
    std::string& names = strategies_of[*strategy.capacity_bytes];
    names += (names.empty() ? "" : ", ") + strategy.label;
  }
  for (const auto& [capacity, names] : strategies_of) {
    const auto bytes = static_cast<double>(capacity);
    figure.limits.push_back({bytes, strategies_of.size() == 1
                                        ? fmt::format("limit {}", format_bytes(bytes))
                                        : fmt::format("limit {}: {}", format_bytes(bytes), names)});
  }
}

Figure memory_figure(const StudyReport& report) {
  Figure figure{.id = "memory",
                .title = "Memory of the fullest device by batch size",
                .caption =
                    "Solid: peak; dashed, hollow: planned. Where there is only a plan, the cell ran out of memory "
                    "or failed.",
                .x = batch_axis,
                .y = {.label = "bytes", .unit = FigureUnit::bytes}};
  add_planned_memory(figure, report);
  add_over_batch(figure, report, plain(peak_bytes), Trust::counting);
  if (!figure.series.empty()) add_memory_limits(figure, report);
  return figure;
}

Figure accuracy_figure(const StudyReport& report) {
  Figure figure{.id = "accuracy",
                .title = "Accuracy by batch size",
                .caption = "By acc_norm, with 95 % Wilson intervals.",
                .x = batch_axis,
                .y = {.label = "accuracy (acc_norm)", .unit = FigureUnit::share}};
  add_over_batch(
      figure, report,
      [](const CellSummary& cell) -> std::optional<FigurePoint> {
        const auto y = has_numbers(cell) ? number(cell, "acc_norm") : std::nullopt;
        if (!y) return std::nullopt;
        return FigurePoint{.y = *y, .low = number(cell, "acc_norm_low"), .high = number(cell, "acc_norm_high")};
      },
      Trust::counting);
  if (report.chance && !figure.series.empty())
    figure.limits.push_back({*report.chance, fmt::format("chance {}", percent_text(report.chance))});
  return figure;
}

// What an honoured token limit costs. A line joins cells that differ in their limit alone.
Figure kept_figure(const StudyReport& report) {
  Figure figure{
      .id = "accuracy_kept",
      .title = "Accuracy by share of tokens kept",
      .caption = "By acc_norm, with 95 % Wilson intervals; sequences above a token limit are cut on the left.",
      .x = {.label = "tokens kept, of those asked for", .unit = FigureUnit::share},
      .y = {.label = "accuracy (acc_norm)", .unit = FigureUnit::share}};
  std::map<std::pair<std::size_t, std::int64_t>, std::vector<const CellSummary*>> lines;  // by column and batch
  for (const CellSummary& cell : report.cells)
    if (has_numbers(cell) && number(cell, "acc_norm") && kept_share(cell))
      lines[{report.strategies[cell.strategy].column, cell.spec.run.batch}].push_back(&cell);
  for (auto& [place, cells] : lines) {
    if (cells.size() < 2) continue;
    std::sort(cells.begin(), cells.end(),
              [](const CellSummary* a, const CellSummary* b) { return *kept_share(*a) < *kept_share(*b); });
    FigureSeries series{.name = fmt::format("{}, batch {}", report.columns[place.first], place.second),
                        .style = place.first};
    for (const CellSummary* cell : cells)
      series.points.push_back({.x = *kept_share(*cell),
                               .y = *number(*cell, "acc_norm"),
                               .low = number(*cell, "acc_norm_low"),
                               .high = number(*cell, "acc_norm_high"),
                               .label = token_limit_name(cell->spec),
                               .note = doubt_of(*cell)});
    figure.series.push_back(std::move(series));
  }
  if (report.chance && !figure.series.empty())
    figure.limits.push_back({*report.chance, fmt::format("chance {}", percent_text(report.chance))});
  return figure;
}

// One batch is no curve; the tables have it.
bool is_over_one_batch(const Figure& figure) {
  if (figure.x.label != batch_axis.label) return false;
  std::set<double> batches;
  for (const FigureSeries& series : figure.series)
    for (const FigurePoint& point : series.points) batches.insert(point.x);
  return batches.size() == 1;
}

// Linear axes hide what is a hundredth of the largest.
void choose_scale(Figure& figure) {
  const auto [low, high] = range_of_y(figure);
  figure.y.logarithmic = figure.y.logarithmic || (figure.y.unit != FigureUnit::share && low > 0 && high > 50 * low);
}

// "Without a marker: 3 cells out of memory, 1 failed."
std::string missing_caption(const StudyReport& report) {
  std::map<std::string, std::int64_t> count;
  for (const CellSummary& cell : report.cells)
    if (!has_numbers(cell)) ++count[cell.status];
  std::string text;
  for (const auto& [status, cells] : count)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", cells, status_words(status));
  return text.empty() ? "" : fmt::format("Cells without a marker: {}.", text);
}

void add_sentence(std::string& caption, const std::string& sentence) {
  caption += (caption.empty() || sentence.empty() ? "" : " ") + sentence;
}

bool any_hollow(const Figure& figure) {
  return std::any_of(figure.series.begin(), figure.series.end(), [](const FigureSeries& series) {
    return !series.hollow && std::any_of(series.points.begin(), series.points.end(),
                                         [](const FigurePoint& point) { return point.hollow; });
  });
}

}  // namespace

std::vector<Figure> study_figures(const StudyReport& report) {
  std::vector<Figure> over_batch{time_figure(report), throughput_figure(report)}, latencies = latency_figures(report);
  over_batch.insert(over_batch.end(), std::move_iterator(latencies.begin()), std::move_iterator(latencies.end()));
  for (Figure (*make)(const StudyReport&) :
       {goodput_figure, goodput_rate_figure, sent_figure, received_figure, utilisation_figure, driver_figure, sm_figure,
        paper_figure, memory_figure, energy_figure, accuracy_figure, kept_figure})
    over_batch.push_back(make(report));
  for (Figure& figure : over_batch) {
    choose_scale(figure);
    if (any_hollow(figure)) add_sentence(figure.caption, hollow_caption);
    if (figure.id != "memory") add_sentence(figure.caption, missing_caption(report));
  }
  std::vector<Figure> figures = std::move(over_batch), compared = compared_figures(report);
  figures.insert(figures.end(), std::move_iterator(compared.begin()), std::move_iterator(compared.end()));
  std::erase_if(figures, [](const Figure& figure) { return figure.series.empty() || is_over_one_batch(figure); });
  for (Figure& figure : figures)
    if (report.has_virtual_devices) figure.title += " (virtual devices)";
  return figures;
}

}  // namespace batchscope
