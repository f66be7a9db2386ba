// The plot of a figure of lines (report/svg_plot.h).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/svg_frame.h"
#include "report/svg_marks.h"
#include "report/svg_plot.h"
#include "report/svg_text.h"

namespace batchscope {
namespace {

constexpr double plot_height = 300;
constexpr double widest_label = 120;

bool is_drawn(const FigurePoint& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

Extent extent_of_x(const Figure& figure) {
  Extent extent(figure.x.logarithmic);
  for (const FigureSeries& series : figure.series)
    for (const FigurePoint& point : series.points)
      if (is_drawn(point)) extent.add(point.x);
  return extent;
}

Extent extent_of_y(const Figure& figure) {
  Extent extent(figure.y.logarithmic);
  for (const FigureSeries& series : figure.series)
    for (const FigurePoint& point : series.points) {
      if (!is_drawn(point)) continue;
      extent.add(point.y);
      if (point.low && point.high) extent.add_interval(*point.low, *point.high);
    }
  for (const FigureLimit& limit : figure.limits) extent.add(limit.y);
  return extent;
}

void draw_left_axis(SvgCanvas& canvas, const PlotArea& area, const PlacedScale& y, const std::string& name) {
  for (const Scale::Tick& tick : y.scale.ticks()) {
    const double at = y.at(tick.value);
    canvas.line(area.left - 4, at, area.right, at, grid_stroke);
    canvas.text(area.left - 7, at + tick_size * 0.36, fit_text(tick.label, tick_size, widest_label), {.anchor = "end"});
  }
  canvas.line(area.left, area.top, area.left, area.bottom, axis_stroke);
  canvas.text(SvgCanvas::margin + label_size, (area.top + area.bottom) / 2, fit_text(name, label_size, plot_height),
              {.size = label_size, .anchor = "middle", .upwards = true});
}

// Draws the series of one figure; intervals of neighbours are set apart by a few px.
class Lines {
 public:
  Lines(SvgCanvas& canvas, const Figure& figure, const PlacedScale& x, const PlacedScale& y)
      : canvas_(canvas), figure_(figure), x_(x), y_(y), shift_(shift()) {}

  void draw() const {
    for (std::size_t i = 0; i < figure_.series.size(); ++i) draw_line(i);
    for (std::size_t i = 0; i < figure_.series.size(); ++i) draw_intervals(i);
    for (std::size_t i = 0; i < figure_.series.size(); ++i) draw_markers(i);
  }

 private:
  // Between neighbouring series.
  double shift() const {
    std::vector<double> places;
    bool any = false;
    for (const FigureSeries& series : figure_.series)
      for (const FigurePoint& point : series.points) {
        if (is_drawn(point)) places.push_back(x_.at(point.x));
        any = any || point.low;
      }
    if (!any || figure_.series.size() < 2) return 0;
    std::sort(places.begin(), places.end());
    double gap = 60;
    for (std::size_t i = 1; i < places.size(); ++i)
      if (places[i] - places[i - 1] > 0.5) gap = std::min(gap, places[i] - places[i - 1]);
    return std::min(5.0, gap / 2 / static_cast<double>(figure_.series.size()));
  }

  double x_of(std::size_t series, const FigurePoint& point) const {
    const double place = static_cast<double>(series) - static_cast<double>(figure_.series.size() - 1) / 2;
    return std::clamp(x_.at(point.x) + shift_ * place, x_.from, x_.to);
  }

  void draw_line(std::size_t i) const {
    const FigureSeries& series = figure_.series[i];
    if (series.stroke == FigureStroke::none) return;
    std::string path;
    int points = 0;
    for (const FigurePoint& point : series.points)
      if (is_drawn(point))
        path += fmt::format("{}{} {}", points++ == 0 ? 'M' : 'L', px(x_of(i, point)), px(y_.at(point.y)));
    if (points > 1)
      canvas_.path(path, fmt::format("stroke=\"{}\" stroke-width=\"1.6\" stroke-linejoin=\"round\"{}",
                                     colour_of(series.style), dash_of(series.stroke)));
  }

  // An end that is not in view has no cap.
  void draw_intervals(std::size_t i) const {
    std::string path;
    for (const FigurePoint& point : figure_.series[i].points) {
      if (!is_drawn(point) || !point.low || !point.high || std::isnan(*point.low) || std::isnan(*point.high)) continue;
      const double x = x_of(i, point);
      path += fmt::format("M{} {}V{}", px(x), px(y_.at(*point.low)), px(y_.at(*point.high)));
      for (const double end : {*point.low, *point.high})
        if (y_.in_view(end))
          path += fmt::format("M{} {}H{}", px(std::max(x - 3, x_.from)), px(y_.at(end)), px(std::min(x + 3, x_.to)));
    }
    canvas_.path(path, fmt::format("stroke=\"{}\" stroke-width=\"1.2\"", colour_of(figure_.series[i].style)));
  }

  // Those without a note share a path.
  void draw_markers(std::size_t i) const {
    const FigureSeries& series = figure_.series[i];
    std::string plain;
    for (const FigurePoint& point : series.points) {
      if (!is_drawn(point)) continue;
      const std::string marker = marker_path(series.style, x_of(i, point), y_.at(point.y));
      const bool hollow = series.hollow || point.hollow || !y_.in_view(point.y);
      if (!hollow && point.note.empty())
        plain += marker;
      else
        canvas_.path(marker, marker_fill(series.style, hollow), point.note);
    }
    canvas_.path(plain, marker_fill(series.style, false));
  }

  SvgCanvas& canvas_;
  const Figure& figure_;
  const PlacedScale& x_;
  const PlacedScale& y_;
  double shift_;
};

}  // namespace

double draw_lines(SvgCanvas& canvas, const Figure& figure, double top) {
  const double bottom = top + plot_height;
  const PlacedScale y{Scale(figure.y, extent_of_y(figure), 7), bottom, top};
  double labels = 0;
  for (const Scale::Tick& tick : y.scale.ticks()) labels = std::max(labels, text_px(tick.label, tick_size));
  const PlotArea area{.left = SvgCanvas::margin + label_size + 14 + std::min(labels, widest_label),
                      .right = SvgCanvas::width - 28,
                      .top = top,
                      .bottom = bottom};
  const PlacedScale x = horizontal_scale(figure.x, extent_of_x(figure), area.left, area.right);
  draw_left_axis(canvas, area, y, figure.y.label);
  const double end = draw_bottom_axis(canvas, area, x, figure.x.label);
  Lines(canvas, figure, x, y).draw();
  draw_horizontal_limits(canvas, area, y, figure.limits);
  return end;
}

}  // namespace batchscope
