// What the files that make a study's figures share: series, doubts, order of cells. Inside src/report only.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/figure/figure.h"
#include "report/study_report.h"

namespace batchscope {

using PointOf = std::function<std::optional<FigurePoint>(const CellSummary&)>;

// What disturbs a measurement of time leaves what is counted as it is.
enum class Trust { timing, counting };

FigureSeries series_of(const StudyReport& report, std::size_t strategy, FigureStroke stroke);
std::vector<const CellSummary*> cells_by_batch(const StudyReport& report, std::size_t strategy);

// Why the cell is not what it looks like: "truncated to 12 tokens", "not valid: …"; "" for one that is ok.
std::string doubt_of(const CellSummary& cell);
// Adds the doubt to the point's note, and makes it hollow where the doubt is about what it shows.
void add_doubt(FigurePoint& point, const CellSummary& cell, Trust trust);

// Least and greatest y of points and limits; {0, 0} without any.
std::pair<double, double> range_of_y(const Figure& figure);

// Cells set against each other, a row or bar each: changed, busy, frontier, closure, effects. Some may be empty.
std::vector<Figure> compared_figures(const StudyReport& report);

}  // namespace batchscope
