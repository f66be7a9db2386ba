// The plot of a figure with a row a category: stacked bars, and markers with intervals (report/svg/svg_plot.h).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "report/svg/svg_frame.h"
#include "report/svg/svg_marks.h"
#include "report/svg/svg_plot.h"
#include "report/svg/svg_text.h"

namespace batchscope {
namespace {

constexpr double widest_label = 0.45;  // of the picture
constexpr double lane_height = 11;     // of a series within a row

// Names of the rows, and the row of an x: x itself where there are categories, else its place among all x.
class Rows {
 public:
  explicit Rows(const Figure& figure) : names_(figure.x.categories), by_index_(!names_.empty()) {
    if (by_index_) return;
    for (const FigureSeries& series : figure.series)
      for (const FigurePoint& point : series.points)
        if (std::isfinite(point.x)) row_of_.emplace(point.x, 0);
    for (auto& [x, row] : row_of_) {
      row = names_.size();
      names_.push_back(number_text(x));
    }
  }
  const std::vector<std::string>& names() const { return names_; }
  std::optional<std::size_t> row(const FigurePoint& point) const {
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) return std::nullopt;
    if (by_index_)
      return point.x >= 0 && point.x < static_cast<double>(names_.size())
                 ? std::optional(static_cast<std::size_t>(point.x))
                 : std::nullopt;
    return row_of_.at(point.x);
  }

 private:
  std::vector<std::string> names_;
  bool by_index_;
  std::map<double, std::size_t> row_of_;
};

struct RowsArea {
  PlotArea plot;
  double row_height = 0;
  double top_of(std::size_t row) const { return plot.top + row_height * static_cast<double>(row); }
};

RowsArea area_of(const SvgCanvas& canvas, const Figure& figure, const Rows& rows, double top, double row_height) {
  double labels = 0;
  for (const std::string& name : rows.names()) labels = std::max(labels, text_px(name, tick_size));
  if (!figure.limits.empty()) top += tick_size + 6;
  return {{.left = SvgCanvas::margin + std::min(labels, widest_label * canvas.width()) + 8,
           .right = canvas.width() - 28,
           .top = top,
           .bottom = top + row_height * static_cast<double>(std::max<std::size_t>(rows.names().size(), 1))},
          row_height};
}

void draw_row_names(SvgCanvas& canvas, const RowsArea& area, const Rows& rows) {
  for (std::size_t row = 0; row < rows.names().size(); ++row)
    canvas.text(area.plot.left - 7, area.top_of(row) + area.row_height / 2 + tick_size * 0.36,
                fit_text(rows.names()[row], tick_size, widest_label * canvas.width()), {.anchor = "end"});
  canvas.line(area.plot.left, area.plot.top, area.plot.left, area.plot.bottom, axis_stroke);
}

// Bars of a row end where those of the series before it do. Negative parts have no length.
double draw_bars(SvgCanvas& canvas, const Figure& figure, double top) {
  const Rows rows(figure);
  const RowsArea area = area_of(canvas, figure, rows, top, 17);
  std::vector<double> ends(rows.names().size(), 0);
  Extent extent(false);
  for (const FigureSeries& series : figure.series)
    for (const FigurePoint& point : series.points)
      if (const auto row = rows.row(point)) extent.add(ends[*row] += std::max(point.y, 0.0));
  for (const FigureLimit& limit : figure.limits) extent.add(limit.y);
  FigureAxis axis = figure.y;
  axis.logarithmic = false;  // lengths add up
  axis.from_zero = true;
  const PlacedScale scale = horizontal_scale(axis, extent, area.plot.left, area.plot.right);
  const double end = draw_bottom_axis(canvas, area.plot, scale, figure.y.label);
  std::fill(ends.begin(), ends.end(), 0);
  for (const FigureSeries& series : figure.series) {
    canvas.begin_series(series.name);
    for (const FigurePoint& point : series.points) {
      const auto row = rows.row(point);
      if (!row || point.y <= 0) continue;
      const double from = scale.at(ends[*row]), to = scale.at(ends[*row] += point.y);
      canvas.rectangle(from, area.top_of(*row) + 2.5, to - from, area.row_height - 5,
                       fmt::format("fill=\"{}\" stroke=\"#ffffff\" stroke-width=\"0.6\"", bar_colour_of(series.style)),
                       point_text(figure, series, point));
    }
    canvas.end_series();
  }
  draw_row_names(canvas, area, rows);
  draw_vertical_limits(canvas, area.plot, scale, figure.limits);
  return end;
}

// A point with its interval on the line of its row and series.
void draw_interval(SvgCanvas& canvas, const Figure& figure, const PlacedScale& scale, const FigureSeries& series,
                   const FigurePoint& point, double y) {
  if (point.low && point.high && !std::isnan(*point.low) && !std::isnan(*point.high)) {
    std::string path = fmt::format("M{} {}H{}", px(scale.at(*point.low)), px(y), px(scale.at(*point.high)));
    for (const double end : {*point.low, *point.high})
      if (scale.in_view(end)) path += fmt::format("M{} {}V{}", px(scale.at(end)), px(y - 3), px(y + 3));
    canvas.path(path, fmt::format("stroke=\"{}\" stroke-width=\"1.4\"", colour_of(series.style)));
  }
  const bool hollow = series.hollow || point.hollow || !scale.in_view(point.y);
  canvas.path(marker_path(series.style, scale.at(point.y), y), marker_fill(series.style, hollow),
              point_text(figure, series, point));
}

double draw_intervals(SvgCanvas& canvas, const Figure& figure, double top) {
  const Rows rows(figure);
  const auto lanes = static_cast<double>(std::max<std::size_t>(figure.series.size(), 1));
  const RowsArea area = area_of(canvas, figure, rows, top, std::max(22.0, lane_height * lanes + 6));
  Extent extent(figure.y.logarithmic);
  for (const FigureSeries& series : figure.series)
    for (const FigurePoint& point : series.points) {
      if (!rows.row(point)) continue;
      extent.add(point.y);
      if (point.low && point.high) extent.add_interval(*point.low, *point.high);
    }
  for (const FigureLimit& limit : figure.limits) extent.add(limit.y);
  const PlacedScale scale = horizontal_scale(figure.y, extent, area.plot.left, area.plot.right);
  for (std::size_t row = 1; row < rows.names().size(); row += 2)
    canvas.rectangle(area.plot.left, area.top_of(row), area.plot.width(), area.row_height, "fill=\"#f5f5f5\"");
  const double end = draw_bottom_axis(canvas, area.plot, scale, figure.y.label);
  draw_vertical_limits(canvas, area.plot, scale, figure.limits);
  std::vector<std::pair<Place, const FigurePoint*>> drawn;
  for (std::size_t i = 0; i < figure.series.size(); ++i) {
    canvas.begin_series(figure.series[i].name);
    for (const FigurePoint& point : figure.series[i].points) {
      const auto row = rows.row(point);
      if (!row) continue;
      const double lane = static_cast<double>(i) - (lanes - 1) / 2;
      const double y = area.top_of(*row) + area.row_height / 2 + lane_height * lane;
      draw_interval(canvas, figure, scale, figure.series[i], point, y);
      drawn.push_back({{scale.at(point.y), y}, &point});
    }
    canvas.end_series();
  }
  std::vector<TextBox> taken;
  for (const auto& [at, point] : drawn) taken.push_back(marker_box(at));
  for (const auto& [at, point] : drawn) draw_point_label(canvas, area.plot, at, point->label, taken);
  draw_row_names(canvas, area, rows);
  return end;
}

}  // namespace

double draw_rows(SvgCanvas& canvas, const Figure& figure, double top) {
  return figure.kind == FigureKind::stacked_bars ? draw_bars(canvas, figure, top) : draw_intervals(canvas, figure, top);
}

}  // namespace batchscope
