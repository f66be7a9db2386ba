// A figure as SVG (report/svg/svg.h): title, frame with scales, what is drawn in it, legend, caption, from top to
// bottom.
#include "report/svg/svg.h"

#include "report/svg/svg_canvas.h"
#include "report/svg/svg_plot.h"
#include "report/svg/svg_text.h"

namespace batchscope {
namespace {

// Every text of the figure made safe; ids keep letters, digits, '-' and '_'.
Figure cleaned(Figure figure) {
  std::string id;
  for (const char c : figure.id)
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_') id += c;
  figure.id = id.empty() ? "figure" : id;
  for (std::string* text : {&figure.title, &figure.caption, &figure.x.label, &figure.y.label})
    *text = clean_text(*text);
  for (FigureAxis* axis : {&figure.x, &figure.y})
    for (std::string& category : axis->categories) category = clean_text(category);
  for (FigureSeries& series : figure.series) {
    series.name = clean_text(series.name);
    for (FigurePoint& point : series.points)
      for (std::string* text : {&point.label, &point.note}) *text = clean_text(*text);
  }
  for (FigureLimit& limit : figure.limits) limit.label = clean_text(limit.label);
  return figure;
}

}  // namespace

std::string to_svg(const Figure& figure, double width) {
  const Figure clean = cleaned(figure);
  SvgCanvas canvas(width);
  double y = 14;
  for (const std::string& line : wrap_text(clean.title, title_size, canvas.room())) {
    canvas.text(SvgCanvas::margin, y + title_size, line, {.size = title_size, .bold = true});
    y += title_size + 5;
  }
  y = clean.kind == FigureKind::lines || clean.kind == FigureKind::curves ? draw_lines(canvas, clean, y + 12)
                                                                          : draw_rows(canvas, clean, y + 12);
  y = draw_legend(canvas, clean, y + 10);
  for (const std::string& line : wrap_text(clean.caption, caption_size, canvas.room())) {
    canvas.text(SvgCanvas::margin, y + caption_size + 4, line, {.size = caption_size, .colour = "#444444"});
    y += caption_size + 4;
  }
  return canvas.document(clean.id, clean.title, clean.caption, y + 14);
}

}  // namespace batchscope
