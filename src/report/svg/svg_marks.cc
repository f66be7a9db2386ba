// Colours, markers, dashes and points in words (report/svg/svg_marks.h).
#include "report/svg/svg_marks.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numbers>

#include "report/figure/figure_scale.h"

namespace batchscope {
namespace {

constexpr double radius = 4;

// Corners at equal angles, the first one `turn` of a whole turn right of the top; every second one nearer to the centre
// for a star.
std::string polygon(double x, double y, int corners, double turn, double size, double inner = 1) {
  std::string path;
  for (int i = 0; i < corners; ++i) {
    const double angle = 2 * std::numbers::pi * (turn + static_cast<double>(i) / corners);
    const double reach = radius * size * (i % 2 == 1 ? inner : 1);
    path +=
        fmt::format("{}{} {}", i == 0 ? 'M' : 'L', px(x + reach * std::sin(angle)), px(y - reach * std::cos(angle)));
  }
  return path + "Z";
}

}  // namespace

const char* colour_of(std::size_t style) {
  constexpr std::array colours{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};
  return colours[style % colours.size()];
}

const char* bar_colour_of(std::size_t style) {
  constexpr std::array colours{"#0072b2", "#e69f00", "#d9d9d9", "#cc79a7", "#009e73", "#56b4e9", "#000000"};
  return colours[style % colours.size()];
}

// Nine markers and seven colours: 63 pairs.
std::string marker_path(std::size_t style, double x, double y) {
  switch (style % 9) {
    case 0:
      return fmt::format("M{0} {1}A{2} {2} 0 1 0 {3} {1}A{2} {2} 0 1 0 {0} {1}Z", px(x - radius), px(y), px(radius),
                         px(x + radius));
    case 1:
      return polygon(x, y, 4, 0.125, 1.3);  // square
    case 2:
      return polygon(x, y, 3, 0, 1.35);  // triangles
    case 3:
      return polygon(x, y, 4, 0, 1.35);  // diamond
    case 4:
      return polygon(x, y, 3, 0.5, 1.35);
    case 5:
      return polygon(x, y, 10, 0, 1.5, 0.45);  // star
    case 6:
      return polygon(x, y, 3, 0.25, 1.35);
    case 7:
      return polygon(x, y, 6, 0, 1.15);  // hexagon
    default:
      return polygon(x, y, 3, 0.75, 1.35);
  }
}

std::string marker_fill(std::size_t style, bool hollow) {
  if (!hollow) return fmt::format("fill=\"{}\"", colour_of(style));
  return fmt::format("fill=\"#ffffff\" stroke=\"{}\" stroke-width=\"1.5\"", colour_of(style));
}

const char* dash_of(FigureStroke stroke) {
  if (stroke == FigureStroke::dashed) return " stroke-dasharray=\"6 3.5\"";
  if (stroke == FigureStroke::dotted) return " stroke-dasharray=\"1.5 3\"";
  return "";
}

std::string point_text(const Figure& figure, const FigureSeries& series, const FigurePoint& point) {
  const auto value = [](const FigureAxis& axis, double at) { return value_text(at, axis.unit); };
  std::string text = series.name.empty() ? "" : series.name + "\n";
  text += point.x >= 0 && point.x < static_cast<double>(figure.x.categories.size())
              ? figure.x.categories[static_cast<std::size_t>(point.x)]
              : fmt::format("{}: {}", figure.x.label, value(figure.x, point.x));
  text += fmt::format("\n{}: {}", figure.y.label, value(figure.y, point.y));
  if (point.low && point.high && std::isfinite(*point.low) && std::isfinite(*point.high))
    text += fmt::format("\n95 %: {} to {}", value(figure.y, *point.low), value(figure.y, *point.high));
  return text + (point.note.empty() ? "" : "\n" + point.note);
}

std::string px(double value) {
  std::string text = fmt::format("{:.1f}", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

}  // namespace batchscope
