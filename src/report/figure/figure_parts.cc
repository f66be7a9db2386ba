// Series, doubts and order of cells (report/figure/figure_parts.h).
#include "report/figure/figure_parts.h"

#include <fmt/format.h>

#include <algorithm>

namespace batchscope {

FigureSeries series_of(const StudyReport& report, std::size_t strategy, FigureStroke stroke) {
  return {.name = report.strategies[strategy].label, .style = report.strategies[strategy].column, .stroke = stroke};
}

std::vector<const CellSummary*> cells_by_batch(const StudyReport& report, std::size_t strategy) {
  std::vector<const CellSummary*> cells;
  for (const CellSummary& cell : report.cells)
    if (cell.strategy == strategy) cells.push_back(&cell);
  std::stable_sort(cells.begin(), cells.end(),
                   [](const CellSummary* a, const CellSummary* b) { return a->spec.run.batch < b->spec.run.batch; });
  return cells;
}

std::string doubt_of(const CellSummary& cell) {
  const std::string why = cell.reason.empty() ? "" : ": " + cell.reason;
  if (cell.status == "truncated")
    return cell.spec.max_tokens_per_sequence ? fmt::format("truncated to {} tokens", *cell.spec.max_tokens_per_sequence)
                                             : "truncated" + why;
  if (cell.status != "ok") return status_words(cell.status) + why;
  return cell.valid == false ? "not valid" + why : "";
}

void add_doubt(FigurePoint& point, const CellSummary& cell, Trust trust) {
  const std::string doubt = doubt_of(cell);
  if (doubt.empty()) return;
  point.note += (point.note.empty() ? "" : "; ") + doubt;
  point.hollow = cell.status != "ok" || trust == Trust::timing;
}

std::pair<double, double> range_of_y(const Figure& figure) {
  std::optional<double> low, high;
  const auto add = [&](double value) {
    low = std::min(low.value_or(value), value);
    high = std::max(high.value_or(value), value);
  };
  for (const FigureSeries& series : figure.series)
    for (const FigurePoint& point : series.points) add(point.y);
  for (const FigureLimit& limit : figure.limits) add(limit.y);
  return {low.value_or(0), high.value_or(0)};
}

}  // namespace batchscope
