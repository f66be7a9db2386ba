// SVG elements (report/svg/svg_canvas.h).
#include "report/svg/svg_canvas.h"

#include <fmt/format.h>

#include "report/svg/svg_marks.h"
#include "report/svg/svg_text.h"

namespace batchscope {
namespace {

std::string closed(const std::string& element, const std::string& note) {
  if (note.empty()) return fmt::format("<{}/>\n", element);
  return fmt::format("<{}><title>{}</title></{}>\n", element, escape_xml(note), element.substr(0, element.find(' ')));
}

}  // namespace

void SvgCanvas::text(double x, double y, const std::string& text, const TextStyle& style) {
  if (text.empty()) return;
  std::string attributes =
      fmt::format("x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"", px(x), px(y), style.size, style.colour);
  if (style.bold) attributes += " font-weight=\"600\"";
  if (std::string(style.anchor) != "start") attributes += fmt::format(" text-anchor=\"{}\"", style.anchor);
  if (style.upwards) attributes += fmt::format(" transform=\"rotate(-90 {} {})\"", px(x), px(y));
  if (style.halo)
    attributes += " stroke=\"#ffffff\" stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\"";
  body_ += fmt::format("<text {}>{}</text>\n", attributes, escape_xml(text));
}

void SvgCanvas::line(double x1, double y1, double x2, double y2, const char* attributes) {
  body_ += fmt::format("<path d=\"M{} {}L{} {}\" {}/>\n", px(x1), px(y1), px(x2), px(y2), attributes);
}

void SvgCanvas::path(const std::string& data, const std::string& attributes, const std::string& note) {
  if (!data.empty()) body_ += closed(fmt::format("path d=\"{}\" {}", data, attributes), note);
}

void SvgCanvas::rectangle(double x, double y, double across, double down, const std::string& attributes,
                          const std::string& note) {
  body_ += closed(fmt::format("rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {}", px(x), px(y), px(across),
                              px(down), attributes),
                  note);
}

void SvgCanvas::begin_series(const std::string& name, bool is_entry) {
  body_ += fmt::format("<g data-series=\"{0}\"{1}>\n", escape_xml(name),
                       is_entry ? fmt::format(" class=\"entry\"><title>{}</title", escape_xml(name)) : "");
}

std::string SvgCanvas::document(const std::string& id, const std::string& title, const std::string& description,
                                double height) const {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\" "
      "aria-labelledby=\"{2}-svg-title {2}-svg-desc\" font-family=\"Helvetica, Arial, 'Liberation Sans', 'DejaVu "
      "Sans', "
      "sans-serif\" fill=\"none\">\n"
      "<title id=\"{2}-svg-title\">{3}</title>\n<desc id=\"{2}-svg-desc\">{4}</desc>\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n{5}</svg>\n",
      px(width_), px(height), id, escape_xml(title), escape_xml(description), body_);
}

}  // namespace batchscope
