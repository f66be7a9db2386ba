// The plot of a figure of lines (report/svg/svg_plot.h).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/svg/svg_frame.h"
#include "report/svg/svg_marks.h"
#include "report/svg/svg_plot.h"
#include "report/svg/svg_text.h"

namespace batchscope {
namespace {

constexpr double widest_tick_label = 120;
constexpr std::size_t most_labelled = 12;

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
    canvas.text(area.left - 7, at + tick_size * 0.36, fit_text(tick.label, tick_size, widest_tick_label),
                {.anchor = "end"});
  }
  canvas.line(area.left, area.top, area.left, area.bottom, axis_stroke);
  canvas.text(SvgCanvas::margin + label_size, (area.top + area.bottom) / 2,
              fit_text(name, label_size, area.bottom - area.top),
              {.size = label_size, .anchor = "middle", .upwards = true});
}

// Draws the series of one figure. Where they would cover each other they are set apart by a few px.
class Lines {
 public:
  Lines(SvgCanvas& canvas, const Figure& figure, const PlacedScale& x, const PlacedScale& y)
      : canvas_(canvas), figure_(figure), x_(x), y_(y) {
    for (const FigureSeries& series : figure.series)
      if (std::find(names_.begin(), names_.end(), series.name) == names_.end()) names_.push_back(series.name);
    is_marked_ = figure.kind != FigureKind::curves;
    shift_ = is_marked_ && cover_each_other() ? shift() : 0;
  }

  void draw() const {
    if (!is_marked_) {
      each_series(&Lines::draw_band);
      each_series(&Lines::draw_line);
      return;
    }
    each_series(&Lines::draw_line);
    each_series(&Lines::draw_intervals);
    each_series(&Lines::draw_markers);
  }

  // Every few px of every line.
  std::vector<Place> drawn() const;
  void draw_labels(std::vector<TextBox> taken) const;

 private:
  void each_series(void (Lines::*draw)(std::size_t) const) const {
    for (std::size_t i = 0; i < figure_.series.size(); ++i) {
      canvas_.begin_series(figure_.series[i].name);
      (this->*draw)(i);
      canvas_.end_series();
    }
  }

  // Intervals, or more than a third of the points on those of other names.
  bool cover_each_other() const {
    std::map<std::pair<long, long>, std::string> name_at;
    std::size_t points = 0, covered = 0;
    for (const FigureSeries& series : figure_.series)
      for (const FigurePoint& point : series.points) {
        if (!is_drawn(point)) continue;
        if (point.low) return true;
        ++points;
        const std::pair at(std::lround(x_.at(point.x)), std::lround(y_.at(point.y) / 2));
        covered += name_at.emplace(at, series.name).first->second != series.name ? 1 : 0;
      }
    return 3 * covered > points;
  }

  // Between neighbouring names.
  double shift() const {
    std::vector<double> places;
    for (const FigureSeries& series : figure_.series)
      for (const FigurePoint& point : series.points)
        if (is_drawn(point)) places.push_back(x_.at(point.x));
    std::sort(places.begin(), places.end());
    double gap = 60;
    for (std::size_t i = 1; i < places.size(); ++i)
      if (places[i] - places[i - 1] > 0.5) gap = std::min(gap, places[i] - places[i - 1]);
    return std::min(6.0, std::min(gap / 2, 40.0) / static_cast<double>(names_.size()));
  }

  double x_of(std::size_t series, const FigurePoint& point) const {
    const auto name = std::find(names_.begin(), names_.end(), figure_.series[series].name) - names_.begin();
    const double place = static_cast<double>(name) - static_cast<double>(names_.size() - 1) / 2;
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

  // From the least to the greatest, where a point stands for several.
  void draw_band(std::size_t i) const {
    const auto y = [&](const std::optional<double>& end, double other) {
      return px(y_.at(end && std::isfinite(*end) ? *end : other));
    };
    std::string path, back;
    for (const FigurePoint& point : figure_.series[i].points) {
      if (!is_drawn(point)) continue;
      const double x = x_of(i, point);
      path += fmt::format("{}{} {}", path.empty() ? 'M' : 'L', px(x), y(point.high, point.y));
      back = fmt::format("L{} {}", px(x), y(point.low, point.y)) + back;
    }
    if (!path.empty())
      canvas_.path(path + back + "Z",
                   fmt::format("fill=\"{}\" fill-opacity=\"0.2\" stroke=\"none\"", colour_of(figure_.series[i].style)));
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

  void draw_markers(std::size_t i) const {
    const FigureSeries& series = figure_.series[i];
    for (const FigurePoint& point : series.points)
      if (is_drawn(point))
        canvas_.path(marker_path(series.style, x_of(i, point), y_.at(point.y)),
                     marker_fill(series.style, series.hollow || point.hollow || !y_.in_view(point.y)),
                     point_text(figure_, series, point));
  }

  SvgCanvas& canvas_;
  const Figure& figure_;
  const PlacedScale& x_;
  const PlacedScale& y_;
  std::vector<std::string> names_;
  bool is_marked_ = true;
  double shift_ = 0;
};

std::vector<Place> Lines::drawn() const {
  std::vector<Place> places;
  for (std::size_t i = 0; i < figure_.series.size(); ++i) {
    std::optional<Place> last;
    for (const FigurePoint& point : figure_.series[i].points) {
      if (!is_drawn(point)) continue;
      const Place here{x_of(i, point), y_.at(point.y)};
      const double steps = last ? std::ceil(std::hypot(here.x - last->x, here.y - last->y) / 6) : 0;
      for (double step = 1; step < steps; ++step)
        places.push_back({last->x + (here.x - last->x) * step / steps, last->y + (here.y - last->y) * step / steps});
      places.push_back(here);
      last = here;
    }
  }
  return places;
}

// Beside the marker, where neither another label nor another marker is; those at a line's ends first. Among many lines
// nobody could tell whose they are.
void Lines::draw_labels(std::vector<TextBox> taken) const {
  if (names_.size() > most_labelled) return;
  struct Label {
    Place at;
    const FigurePoint* point;
    const FigureSeries* series;
  };
  std::vector<Label> ends, others;
  for (std::size_t i = 0; i < figure_.series.size(); ++i)
    for (const FigurePoint& point : figure_.series[i].points) {
      if (!is_drawn(point)) continue;
      const Place at{x_of(i, point), y_.at(point.y)};
      taken.push_back(marker_box(at));
      const bool is_end = &point == &figure_.series[i].points.front() || &point == &figure_.series[i].points.back();
      if (!point.label.empty()) (is_end ? ends : others).push_back({at, &point, &figure_.series[i]});
    }
  ends.insert(ends.end(), others.begin(), others.end());
  const PlotArea area{.left = x_.from, .right = x_.to, .top = y_.to, .bottom = y_.from};
  for (const Label& label : ends) {
    canvas_.begin_series(label.series->name);
    draw_point_label(canvas_, area, label.at, label.point->label, taken);
    canvas_.end_series();
  }
}

}  // namespace

double draw_lines(SvgCanvas& canvas, const Figure& figure, double top) {
  const double bottom = top + 120 + canvas.width() / 4;
  const PlacedScale y{Scale(figure.y, extent_of_y(figure), 7), bottom, top};
  double labels = 0;
  for (const Scale::Tick& tick : y.scale.ticks()) labels = std::max(labels, text_px(tick.label, tick_size));
  const PlotArea area{.left = SvgCanvas::margin + label_size + 14 + std::min(labels, widest_tick_label),
                      .right = canvas.width() - 28,
                      .top = top,
                      .bottom = bottom};
  const PlacedScale x = horizontal_scale(figure.x, extent_of_x(figure), area.left, area.right);
  draw_left_axis(canvas, area, y, figure.y.label);
  const double end = draw_bottom_axis(canvas, area, x, figure.x.label);
  const Lines lines(canvas, figure, x, y);
  lines.draw();
  lines.draw_labels(draw_horizontal_limits(canvas, area, y, figure.limits, lines.drawn()));
  return end;
}

}  // namespace batchscope
