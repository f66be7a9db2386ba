// Figures with a row or bar a cell or strategy (report/figure/figure_parts.h): changed, busy, frontier, closure,
// effects.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "report/cell_numbers.h"
#include "report/figure/figure_parts.h"

namespace batchscope {
namespace {

constexpr std::size_t most_bars = 60;

using Wanted = std::function<bool(const CellSummary&)>;
using Before = std::function<bool(const CellSummary&, const CellSummary&)>;

// The cells that get a bar, a strategy's together in order of batch; of many cells one a strategy, the `first` one.
std::vector<const CellSummary*> bars_of(const StudyReport& report, const Wanted& wanted, const Before& first) {
  std::vector<const CellSummary*> all, firsts;
  for (std::size_t strategy = 0; strategy < report.strategies.size(); ++strategy) {
    std::vector<const CellSummary*> cells = cells_by_batch(report, strategy);
    std::erase_if(cells, [&](const CellSummary* cell) { return !wanted(*cell); });
    if (cells.empty()) continue;
    all.insert(all.end(), cells.begin(), cells.end());
    firsts.push_back(*std::min_element(cells.begin(), cells.end(),
                                       [&](const CellSummary* a, const CellSummary* b) { return first(*a, *b); }));
  }
  return all.size() > most_bars ? firsts : all;
}

std::string bar_name(const StudyReport& report, const CellSummary& cell) {
  std::string name = fmt::format("{}, batch {}", report.label(cell), cell.spec.run.batch);
  const std::string doubt = doubt_of(cell);
  return doubt.empty() ? name : name + ", " + doubt.substr(0, doubt.find(':'));
}

// A series each part, a bar each cell; style is the part's.
void add_parts(Figure& figure, const StudyReport& report, const std::vector<const CellSummary*>& bars,
               const std::vector<std::pair<const char*, PointOf>>& parts) {
  for (const CellSummary* cell : bars) figure.x.categories.push_back(bar_name(report, *cell));
  for (std::size_t part = 0; part < parts.size() && !bars.empty(); ++part) {
    FigureSeries series{.name = parts[part].first, .style = part};
    for (std::size_t bar = 0; bar < bars.size(); ++bar)
      if (auto point = parts[part].second(*bars[bar])) {
        point->x = static_cast<double>(bar);
        add_doubt(*point, *bars[bar], Trust::timing);
        series.points.push_back(std::move(*point));
      }
    figure.series.push_back(std::move(series));
  }
}

Figure changed_figure(const StudyReport& report) {
  Figure figure{.id = "changed",
                .title = "Items answered differently from the reference",
                .kind = FigureKind::stacked_bars,
                .x = {.label = "cell"},
                .y = {.label = "items", .unit = FigureUnit::count}};
  const auto bars = bars_of(
      report, [](const CellSummary& cell) { return cell.paired && cell.paired->changed > 0; },
      [](const CellSummary& a, const CellSummary& b) { return a.paired->changed > b.paired->changed; });
  const auto count = [](std::int64_t (*of)(const Paired&)) -> PointOf {
    return [of](const CellSummary& cell) { return FigurePoint{.y = static_cast<double>(of(*cell.paired))}; };
  };
  add_parts(
      figure, report, bars,
      {{"right before, wrong here", count([](const Paired& paired) { return paired.lost; })},
       {"wrong before, right here", count([](const Paired& paired) { return paired.gained; })},
       {"wrong in both", count([](const Paired& paired) { return paired.changed - paired.lost - paired.gained; })}});
  const auto compared = std::count_if(report.cells.begin(), report.cells.end(),
                                      [](const CellSummary& cell) { return cell.paired.has_value(); });
  const auto changed = std::count_if(report.cells.begin(), report.cells.end(),
                                     [](const CellSummary& cell) { return cell.paired && cell.paired->changed > 0; });
  figure.caption = fmt::format("{} of {} cells differ in at least one answer", changed, compared);
  figure.caption += bars.size() < static_cast<std::size_t>(changed)
                        ? "; shown: each strategy's batch with the most changes."
                        : "; only those are shown.";
  return figure;
}

Figure busy_figure(const StudyReport& report) {
  Figure figure{.id = "busy",
                .title = "What the devices did",
                .caption = "Mean of the devices.",
                .kind = FigureKind::stacked_bars,
                .x = {.label = "cell"},
                .y = {.label = "share of time", .unit = FigureUnit::share}};
  const auto share = [](std::optional<double> DeviceRecord::*part) -> PointOf {
    return [part](const CellSummary& cell) -> std::optional<FigurePoint> {
      const auto y = mean_over_devices(cell, [&](const DeviceRecord& device) { return device.*part; });
      return y ? std::optional(FigurePoint{.y = *y}) : std::nullopt;
    };
  };
  const PointOf compute = share(&DeviceRecord::busy_compute);
  const auto bars = bars_of(
      report, [&](const CellSummary& cell) { return has_numbers(cell) && compute(cell); },
      [](const CellSummary& a, const CellSummary& b) {
        return std::pair(a.valid == false, a.time->mean) < std::pair(b.valid == false, b.time->mean);
      });
  add_parts(figure, report, bars,
            {{"computing", compute},
             {"communicating", share(&DeviceRecord::busy_communicate)},
             {"idle", share(&DeviceRecord::busy_idle)}});
  const auto all = std::count_if(report.cells.begin(), report.cells.end(),
                                 [&](const CellSummary& cell) { return has_numbers(cell) && compute(cell); });
  if (bars.size() < static_cast<std::size_t>(all)) figure.caption += " Each strategy at its fastest batch.";
  return figure;
}

// Markers by running and by planning, a row a strategy.
Figure frontier_figure(const StudyReport& report) {
  Figure figure{
      .id = "frontier",
      .title = "Largest batch before out of memory",
      .caption = "Found by running, and by the plan alone.",
      .kind = FigureKind::intervals,
      .x = {.label = "strategy"},
      .y = {.label = "largest batch (sequences)", .unit = FigureUnit::count, .logarithmic = true, .from_zero = false}};
  FigureSeries ran{.name = "by running", .style = 0, .stroke = FigureStroke::none};
  FigureSeries planned{.name = "by the plan", .style = 1, .stroke = FigureStroke::none, .hollow = true};
  for (const StrategySummary& strategy : report.strategies) {
    if (!strategy.frontier || (!strategy.frontier->largest_ran && !strategy.frontier->largest_plan)) continue;
    const auto row = static_cast<double>(figure.x.categories.size());
    figure.x.categories.push_back(strategy.label);
    const auto add = [&](FigureSeries& series, const std::optional<std::int64_t>& batch) {
      if (!batch) return;
      const std::string note = *batch == 0 ? "not even the smallest fits" : strategy.frontier->reason;
      series.points.push_back({.x = row,
                               .y = static_cast<double>(*batch),
                               .label = std::to_string(*batch),
                               .note = note,
                               .hollow = *batch == 0});
    };
    add(ran, strategy.frontier->largest_ran);
    add(planned, strategy.frontier->largest_plan);
  }
  for (FigureSeries* series : {&ran, &planned})
    if (!series->points.empty()) figure.series.push_back(std::move(*series));
  return figure;
}

// The device whose link saw least like what was predicted; the link's own counter where there is one.
std::optional<FigurePoint> worst_closure(const CellSummary& cell, bool tx) {
  std::optional<FigurePoint> worst;
  for (const DeviceRecord& device : cell.devices) {
    const DeviceTraffic traffic = traffic_of(device);
    const auto& counter = tx ? traffic.link_tx : traffic.link_rx;
    const auto& counted = tx ? traffic.counted_tx : traffic.counted_rx;
    const auto closed = closure(counter ? counter : counted, tx ? traffic.predicted_tx : traffic.predicted_rx);
    if (!closed || (worst && std::abs(*closed - 1) <= std::abs(worst->y - 1))) continue;
    worst = FigurePoint{.y = *closed,
                        .note = fmt::format("{} {}{}", device.name, tx ? "TX" : "RX",
                                            counter ? "" : ", counted where copied: the link has no counter"),
                        .hollow = !counter};
  }
  return worst;
}

Figure closure_figure(const StudyReport& report) {
  Figure figure{.id = "closure",
                .title = "Bytes seen by the link / predicted",
                .caption = "Solid: sent; dashed: received; for each cell, the device farthest from 1.",
                .x = {.label = "batch (sequences)", .unit = FigureUnit::count, .logarithmic = true, .from_zero = false},
                .y = {.label = "seen / predicted", .unit = FigureUnit::ratio, .from_zero = false},
                .limits = {{1, "all bytes explained"}}};
  for (const bool tx : {true, false})
    for (std::size_t strategy = 0; strategy < report.strategies.size(); ++strategy) {
      FigureSeries series = series_of(report, strategy, tx ? FigureStroke::solid : FigureStroke::dashed);
      for (const CellSummary* cell : cells_by_batch(report, strategy)) {
        auto point = has_numbers(*cell) ? worst_closure(*cell, tx) : std::nullopt;
        if (!point) continue;
        point->x = static_cast<double>(cell->spec.run.batch);
        const bool was_hollow = point->hollow;
        add_doubt(*point, *cell, Trust::counting);
        point->hollow = point->hollow || was_hollow;
        series.points.push_back(std::move(*point));
      }
      if (!series.points.empty()) figure.series.push_back(std::move(series));
    }
  return figure;
}

// A row for each pair of strategies, a series for each batch.
Figure effects_figure(const StudyReport& report) {
  Figure figure{.id = "effects",
                .title = "Effect of one setting alone on the time",
                .caption = "Ratios of times with 95 % intervals; left of 1 is faster.",
                .kind = FigureKind::intervals,
                .x = {.label = "setting"},
                .y = {.label = "time / time without", .unit = FigureUnit::ratio, .from_zero = false},
                .limits = {{1, "no effect"}}};
  std::map<std::string, std::size_t> row_of;
  std::map<std::int64_t, FigureSeries> series_of_batch;
  for (const Effect& effect : report.effects) {
    if (!effect.time) continue;
    const CellSummary& cell = report.cells[effect.cell];
    const std::string row =
        fmt::format("{}: {} → {}", effect.axis, report.label(report.cells[effect.baseline]), report.label(cell));
    const auto [found, is_new] = row_of.emplace(row, figure.x.categories.size());
    if (is_new) figure.x.categories.push_back(row);
    FigurePoint point{.x = static_cast<double>(found->second),
                      .y = effect.time->ratio,
                      .low = effect.time->low,
                      .high = effect.time->high,
                      .note = fmt::format("{} {} → {}", effect.axis, effect.from, effect.to)};
    add_doubt(point, cell.status == "ok" && cell.valid != false ? report.cells[effect.baseline] : cell, Trust::timing);
    series_of_batch[cell.spec.run.batch].points.push_back(std::move(point));
  }
  for (auto& [batch, series] : series_of_batch) {
    series.name = fmt::format("batch {}", batch);
    series.style = figure.series.size();
    series.stroke = FigureStroke::none;
    figure.series.push_back(std::move(series));
  }
  return figure;
}

}  // namespace

std::vector<Figure> compared_figures(const StudyReport& report) {
  return {changed_figure(report), busy_figure(report), frontier_figure(report), closure_figure(report),
          effects_figure(report)};
}

}  // namespace batchscope
