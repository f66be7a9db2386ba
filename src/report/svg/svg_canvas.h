// The elements that a figure is made of, as SVG text. Texts given to it are clean (report/svg/svg_text.h). Colours are
// those of paper; page/browser/page.css knows each of them and what stands for it on a dark ground. Inside src/report
// only.
#pragma once

#include <string>

namespace batchscope {

// Sizes of letters, px.
constexpr double title_size = 14, label_size = 12, tick_size = 11, legend_size = 11, caption_size = 11;

class SvgCanvas {
 public:
  static constexpr double margin = 14;

  explicit SvgCanvas(double width) : width_(width) {}
  double width() const { return width_; }
  double room() const { return width_ - 2 * margin; }

  struct TextStyle {
    double size = tick_size;
    bool bold = false;
    const char* colour = "#222222";
    const char* anchor = "start";
    bool halo = false;     // white around the letters, over lines
    bool upwards = false;  // turned by 90 degrees
  };
  void text(double x, double y, const std::string& text, const TextStyle& style);  // y: of the baseline
  void line(double x1, double y1, double x2, double y2, const char* attributes);
  // `attributes` are written as they are; a note becomes the tooltip.
  void path(const std::string& data, const std::string& attributes, const std::string& note = "");
  void rectangle(double x, double y, double across, double down, const std::string& attributes,
                 const std::string& note = "");

  // What is drawn in between belongs to the series of that name, or is its entry in the legend: a page can hide it.
  void begin_series(const std::string& name, bool is_entry = false);
  void end_series() { body_ += "</g>\n"; }

  // The whole <svg>; ids begin with `id`.
  std::string document(const std::string& id, const std::string& title, const std::string& description,
                       double height) const;

 private:
  double width_;
  std::string body_;
};

}  // namespace batchscope
