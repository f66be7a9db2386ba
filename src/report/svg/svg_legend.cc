// The legend of an SVG figure (report/svg/svg_plot.h): below the plot, in as many columns as the names leave room for.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "report/svg/svg_marks.h"
#include "report/svg/svg_plot.h"
#include "report/svg/svg_text.h"

namespace batchscope {
namespace {

constexpr double sample_width = 28, row_height = 17;

bool all_hollow(const FigureSeries& series) {
  return series.hollow ||
         (!series.points.empty() && std::all_of(series.points.begin(), series.points.end(),
                                                [](const FigurePoint& point) { return point.hollow; }));
}

// One a name: of the series that share it the plainest.
std::vector<const FigureSeries*> entries_of(const Figure& figure) {
  const auto plainness = [](const FigureSeries& series) { return std::tuple(series.hollow, series.stroke); };
  std::vector<const FigureSeries*> entries;
  for (const FigureSeries& series : figure.series) {
    const auto known = std::find_if(entries.begin(), entries.end(),
                                    [&](const FigureSeries* entry) { return entry->name == series.name; });
    if (known == entries.end())
      entries.push_back(&series);
    else if (plainness(series) < plainness(**known))
      *known = &series;
  }
  std::erase_if(entries, [](const FigureSeries* entry) { return entry->name.empty(); });
  return entries;
}

void draw_sample(SvgCanvas& canvas, const FigureSeries& series, FigureKind kind, double x, double y) {
  if (kind == FigureKind::stacked_bars)
    return canvas.rectangle(x + 8, y - 6, 12, 12, fmt::format("fill=\"{}\"", bar_colour_of(series.style)));
  const bool is_curve = kind == FigureKind::curves;
  if (series.stroke != FigureStroke::none && (is_curve || kind == FigureKind::lines))
    canvas.path(fmt::format("M{} {}H{}", px(x), px(y), px(x + sample_width - 4)),
                fmt::format("stroke=\"{}\" stroke-width=\"1.6\"{}", colour_of(series.style), dash_of(series.stroke)));
  if (is_curve) return;
  canvas.path(marker_path(series.style, x + sample_width / 2 - 2, y), marker_fill(series.style, all_hollow(series)));
}

}  // namespace

double draw_legend(SvgCanvas& canvas, const Figure& figure, double top) {
  const std::vector<const FigureSeries*> entries = entries_of(figure);
  if (entries.empty()) return top;
  const double room = canvas.room();
  double widest = 0;
  for (const FigureSeries* entry : entries) widest = std::max(widest, text_px(entry->name, legend_size));
  const double name_width = std::min(widest, room - sample_width);
  const double column_width = sample_width + name_width + 18;
  const auto fitting = static_cast<std::size_t>(std::max(1.0, (room + 18) / column_width));
  const std::size_t columns = std::min(entries.size(), fitting);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const double x = SvgCanvas::margin + column_width * static_cast<double>(i % columns);
    const double y = top + row_height * (static_cast<double>(i / columns) + 0.5);
    canvas.begin_series(entries[i]->name, true);
    draw_sample(canvas, *entries[i], figure.kind, x, y);
    canvas.text(x + sample_width, y + legend_size * 0.36, fit_text(entries[i]->name, legend_size, name_width),
                {.size = legend_size});
    canvas.end_series();
  }
  return top + row_height * static_cast<double>((entries.size() + columns - 1) / columns);
}

}  // namespace batchscope
