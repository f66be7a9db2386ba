// The frame of a plot (report/svg_frame.h).
#include "report/svg_frame.h"

#include <algorithm>
#include <cmath>

#include "report/svg_text.h"

namespace batchscope {
namespace {

constexpr const char* limit_stroke = "stroke=\"#333333\" stroke-width=\"1.2\" stroke-dasharray=\"10 3 2 3\"";
constexpr double label_gap = 8;

bool labels_overlap(const PlacedScale& placed) {
  double end = -1e9;
  for (const Scale::Tick& tick : placed.scale.ticks()) {
    const double half = text_px(tick.label, tick_size) / 2, at = placed.at(tick.value);
    if (at - half < end + label_gap) return true;
    end = at + half;
  }
  return false;
}

struct PlacedLimit {
  double at = 0;
  std::string label;
};

std::vector<PlacedLimit> place(const PlacedScale& scale, const std::vector<FigureLimit>& limits) {
  std::vector<PlacedLimit> placed;
  for (const FigureLimit& limit : limits)
    if (std::isfinite(limit.y)) placed.push_back({scale.at(limit.y), limit.label});
  std::stable_sort(placed.begin(), placed.end(),
                   [](const PlacedLimit& a, const PlacedLimit& b) { return a.at < b.at; });
  return placed;
}

void join(std::string& label, const std::string& next) {
  if (label.empty() || next.empty())
    label += next;
  else
    label += "; " + next;
}

}  // namespace

double PlacedScale::at(double value) const { return from + std::clamp(scale.fraction(value), 0.0, 1.0) * (to - from); }

bool PlacedScale::in_view(double value) const {
  const double fraction = scale.fraction(value);
  return fraction >= 0 && fraction <= 1;
}

PlacedScale horizontal_scale(const FigureAxis& axis, const Extent& extent, double from, double to) {
  for (int most = 10;; --most) {
    PlacedScale placed{Scale(axis, extent, most), from, to};
    if (most == 1 || !labels_overlap(placed)) return placed;
  }
}

double draw_bottom_axis(SvgCanvas& canvas, const PlotArea& area, const PlacedScale& scale, const std::string& name) {
  double free = 0;  // labels that still overlap with the fewest ticks are left out
  for (const Scale::Tick& tick : scale.scale.ticks()) {
    const double at = scale.at(tick.value), half = text_px(tick.label, tick_size) / 2;
    canvas.line(at, area.top, at, area.bottom + 4, grid_stroke);
    const double middle = std::clamp(at, half, SvgCanvas::width - half);
    if (middle - half < free) continue;
    canvas.text(middle, area.bottom + 6 + tick_size, tick.label, {.anchor = "middle"});
    free = middle + half + label_gap / 2;
  }
  canvas.line(area.left, area.bottom, area.right, area.bottom, axis_stroke);
  const double y = area.bottom + 12 + tick_size + label_size;
  canvas.text((area.left + area.right) / 2, y, fit_text(name, label_size, area.width()),
              {.size = label_size, .anchor = "middle"});
  return y + 4;
}

void draw_horizontal_limits(SvgCanvas& canvas, const PlotArea& area, const PlacedScale& y,
                            const std::vector<FigureLimit>& limits) {
  const std::vector<PlacedLimit> placed = place(y, limits);
  for (std::size_t begin = 0; begin < placed.size();) {
    std::string label;
    std::size_t end = begin;
    for (; end < placed.size() && placed[end].at < placed[begin].at + tick_size + 3; ++end) {
      canvas.line(area.left, placed[end].at, area.right, placed[end].at, limit_stroke);
      join(label, placed[end].label);
    }
    const bool above = placed[begin].at - tick_size - 4 > area.top;
    const double baseline = above ? placed[begin].at - 4 : placed[end - 1].at + tick_size + 2;
    canvas.text(area.right - 4, baseline, fit_text(label, tick_size, area.width() - 8),
                {.anchor = "end", .halo = true});
    begin = end;
  }
}

void draw_vertical_limits(SvgCanvas& canvas, const PlotArea& area, const PlacedScale& x,
                          const std::vector<FigureLimit>& limits) {
  double free = 0;
  for (const PlacedLimit& limit : place(x, limits)) {
    canvas.line(limit.at, area.top - 3, limit.at, area.bottom, limit_stroke);
    const std::string label = fit_text(limit.label, tick_size, SvgCanvas::width / 2);
    const double half = text_px(label, tick_size) / 2;
    const double middle = std::clamp(limit.at, half + 2, SvgCanvas::width - half - 2);
    if (middle - half < free) continue;
    canvas.text(middle, area.top - 6, label, {.anchor = "middle", .halo = true});
    free = middle + half + label_gap;
  }
}

}  // namespace batchscope
