// The frame of a plot (report/svg/svg_frame.h).
#include "report/svg/svg_frame.h"

#include <algorithm>
#include <cmath>

#include "report/svg/svg_text.h"

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

// Where along its baseline a text covers least of what is drawn; of equal places the one farthest to the right.
TextBox emptiest(const PlotArea& area, double width, double baseline, const std::vector<Place>& drawn) {
  constexpr int places = 12;
  TextBox best;
  std::ptrdiff_t least = -1;
  for (int place = places; place >= 0; --place) {
    const double left = area.left + 4 + (area.width() - 8 - width) * place / places;
    const TextBox box{.left = left, .top = baseline - tick_size, .right = left + width, .bottom = baseline + 3};
    const TextBox around{.left = left - 6, .top = box.top - 3, .right = box.right + 6, .bottom = box.bottom + 5};
    const auto covered = std::count_if(drawn.begin(), drawn.end(), [&](const Place& at) { return around.holds(at); });
    if (least >= 0 && covered >= least) continue;
    least = covered;
    best = box;
  }
  return best;
}

}  // namespace

bool TextBox::holds(const Place& place) const {
  return place.x >= left && place.x <= right && place.y >= top && place.y <= bottom;
}

bool TextBox::overlaps(const TextBox& other) const {
  return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
}

double PlacedScale::at(double value) const { return from + std::clamp(scale.fraction(value), 0.0, 1.0) * (to - from); }

bool PlacedScale::in_view(double value) const {
  const double fraction = scale.fraction(value);
  return fraction >= 0 && fraction <= 1;
}

PlacedScale horizontal_scale(const FigureAxis& axis, const Extent& extent, double from, double to) {
  for (int most = 10;; --most) {
    PlacedScale placed{Scale(axis, extent, most), from, to};
    if (most == 1 || placed.scale.has_categories() || !labels_overlap(placed)) return placed;
  }
}

double draw_bottom_axis(SvgCanvas& canvas, const PlotArea& area, const PlacedScale& scale, const std::string& name) {
  double free = 0;  // labels that still overlap with the fewest ticks are left out
  const double room = area.width() / static_cast<double>(scale.scale.ticks().size()) - label_gap;
  for (const Scale::Tick& tick : scale.scale.ticks()) {
    const std::string label = scale.scale.has_categories() ? fit_text(tick.label, tick_size, room) : tick.label;
    const double at = scale.at(tick.value), half = text_px(label, tick_size) / 2;
    canvas.line(at, area.top, at, area.bottom + 4, grid_stroke);
    const double middle = std::clamp(at, half, canvas.width() - half);
    if (middle - half < free) continue;
    canvas.text(middle, area.bottom + 6 + tick_size, label, {.anchor = "middle"});
    free = middle + half + label_gap / 2;
  }
  canvas.line(area.left, area.bottom, area.right, area.bottom, axis_stroke);
  const double y = area.bottom + 12 + tick_size + label_size;
  canvas.text((area.left + area.right) / 2, y, fit_text(name, label_size, area.width()),
              {.size = label_size, .anchor = "middle"});
  return y + 4;
}

TextBox marker_box(const Place& at) { return {at.x - 5, at.y - 5, at.x + 5, at.y + 5}; }

void draw_point_label(SvgCanvas& canvas, const PlotArea& area, const Place& at, const std::string& text,
                      std::vector<TextBox>& taken) {
  constexpr double size = tick_size - 1;
  const double width = text_px(text, size);
  if (width == 0) return;
  for (const Place& corner : {Place{8, -5}, Place{-8 - width, -5}, Place{-width / 2, -18}, Place{-width / 2, 8}}) {
    const TextBox box{at.x + corner.x, at.y + corner.y, at.x + corner.x + width, at.y + corner.y + size};
    const bool is_free =
        box.left >= area.left && box.right <= area.right && box.top >= area.top && box.bottom <= area.bottom &&
        std::none_of(taken.begin(), taken.end(), [&](const TextBox& other) { return box.overlaps(other); });
    if (!is_free) continue;
    canvas.text(box.left, box.bottom - 1.5, text, {.size = size, .colour = "#444444", .halo = true});
    taken.push_back(box);
    return;
  }
}

std::vector<TextBox> draw_horizontal_limits(SvgCanvas& canvas, const PlotArea& area, const PlacedScale& y,
                                            const std::vector<FigureLimit>& limits, const std::vector<Place>& drawn) {
  const std::vector<PlacedLimit> placed = place(y, limits);
  std::vector<TextBox> boxes;
  for (std::size_t begin = 0; begin < placed.size();) {
    // At the top the label stands below its lines; the next one, above its own, has to be two texts away.
    const bool above = placed[begin].at - tick_size - 6 > area.top;
    const double reach = above ? tick_size + 5 : 2 * tick_size + 10;
    std::string label;
    std::size_t end = begin;
    for (; end < placed.size() && placed[end].at < placed[begin].at + reach; ++end) {
      canvas.line(area.left, placed[end].at, area.right, placed[end].at, limit_stroke);
      join(label, placed[end].label);
    }
    const double baseline = above ? placed[begin].at - 4 : placed[begin].at + tick_size + 2;
    begin = end;
    if (label.empty()) continue;
    label = fit_text(label, tick_size, area.width() - 8);
    boxes.push_back(emptiest(area, text_px(label, tick_size), baseline, drawn));
    canvas.text(boxes.back().left, baseline, label, {.halo = true});
  }
  return boxes;
}

void draw_vertical_limits(SvgCanvas& canvas, const PlotArea& area, const PlacedScale& x,
                          const std::vector<FigureLimit>& limits) {
  double free = 0;
  for (const PlacedLimit& limit : place(x, limits)) {
    canvas.line(limit.at, area.top - 3, limit.at, area.bottom, limit_stroke);
    const std::string label = fit_text(limit.label, tick_size, canvas.width() / 2);
    const double half = text_px(label, tick_size) / 2;
    const double middle = std::clamp(limit.at, half + 2, canvas.width() - half - 2);
    if (middle - half < free) continue;
    canvas.text(middle, area.top - 6, label, {.anchor = "middle", .halo = true});
    free = middle + half + label_gap;
  }
}

}  // namespace batchscope
