// The frame of a plot: scales in px, grid, tick labels, names of axes, limits. Inside src/report only.
#pragma once

#include <string>
#include <vector>

#include "report/figure/figure.h"
#include "report/figure/figure_scale.h"
#include "report/svg/svg_canvas.h"

namespace batchscope {

constexpr const char* grid_stroke = "stroke=\"#e4e4e4\"";
constexpr const char* axis_stroke = "stroke=\"#777777\"";

struct PlotArea {
  double left = 0, right = 0, top = 0, bottom = 0;
  double width() const { return right - left; }
};

// A scale laid over a stretch of px; what is not in view lies on its nearer end.
struct PlacedScale {
  Scale scale;
  double from = 0, to = 0;
  double at(double value) const;
  bool in_view(double value) const;
};

struct Place {
  double x = 0, y = 0;
};

// What a text covers.
struct TextBox {
  double left = 0, top = 0, right = 0, bottom = 0;
  bool holds(const Place& place) const;
  bool overlaps(const TextBox& other) const;
};

// With as many labels as there is room for side by side.
PlacedScale horizontal_scale(const FigureAxis& axis, const Extent& extent, double from, double to);

// Below the area: ticks, their labels and the axis' name, with lines of the grid upwards. Returns where it ends.
double draw_bottom_axis(SvgCanvas& canvas, const PlotArea& area, const PlacedScale& scale, const std::string& name);

TextBox marker_box(const Place& at);
// Right of a marker, or left, above or below: where nothing is that is taken already. Without room it is left out.
void draw_point_label(SvgCanvas& canvas, const PlotArea& area, const Place& at, const std::string& text,
                      std::vector<TextBox>& taken);

// Limits across the area, each with its label where least of what is drawn already lies; labels that would overlap
// share a line of text. Returns what the labels cover.
std::vector<TextBox> draw_horizontal_limits(SvgCanvas& canvas, const PlotArea& area, const PlacedScale& y,
                                            const std::vector<FigureLimit>& limits, const std::vector<Place>& drawn);
void draw_vertical_limits(SvgCanvas& canvas, const PlotArea& area, const PlacedScale& x,
                          const std::vector<FigureLimit>& limits);

}  // namespace batchscope
