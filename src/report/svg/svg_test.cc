// SVG: well-formed whatever the names, nothing outside of the picture, no text over another, whatever the numbers.
#include "report/svg/svg.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "report/svg/svg_text.h"

namespace batchscope {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Element {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string text;  // up to the next element
};

// Reads what to_svg() may write, and nothing looser: elements, attributes in double quotes, five entities.
class XmlReader {
 public:
  explicit XmlReader(const std::string& text) : text_(text) {}

  std::vector<Element> read() {
    while (at_ < text_.size()) text_[at_] == '<' ? tag() : content();
    if (!open_.empty()) throw std::runtime_error("not closed: " + open_.back());
    return elements_;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw std::runtime_error(why + " at: " + text_.substr(at_, 60));
  }
  std::string unescaped(const std::string& raw) const {
    std::string plain;
    for (std::size_t i = 0; i < raw.size(); ++i) {
      if (static_cast<unsigned char>(raw[i]) < 0x20 && raw[i] != '\n') fail("control character");
      if (raw[i] == '<') fail("bare <");
      if (raw[i] != '&') {
        plain += raw[i];
        continue;
      }
      const std::size_t end = raw.find(';', i);
      const std::map<std::string, char> entities{{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
      const auto found = end == std::string::npos ? entities.end() : entities.find(raw.substr(i + 1, end - i - 1));
      if (found == entities.end()) fail("bare &");
      plain += found->second;
      i = end;
    }
    return plain;
  }
  void content() {
    const std::size_t end = std::min(text_.find('<', at_), text_.size());
    const std::string plain = unescaped(text_.substr(at_, end - at_));
    if (open_.empty() && plain.find_first_not_of('\n') != std::string::npos) fail("text outside of the document");
    if (is_inside_last_) elements_.back().text += plain;
    at_ = end;
  }
  void tag() {
    const std::size_t end = text_.find('>', at_);  // values have no '>'
    if (end == std::string::npos) fail("tag without end");
    std::string inner = text_.substr(at_ + 1, end - at_ - 1);
    if (inner.starts_with('/')) {
      if (open_.empty() || open_.back() != inner.substr(1)) fail("closes what is not open");
      open_.pop_back();
      is_inside_last_ = false;
    } else {
      const bool is_closed = inner.ends_with('/');
      if (is_closed) inner.pop_back();
      start(inner);
      if (!is_closed) open_.push_back(elements_.back().name);
      is_inside_last_ = !is_closed;
    }
    at_ = end + 1;
  }
  void start(const std::string& inner) {
    std::size_t at = std::min(inner.find(' '), inner.size());
    Element element{.name = inner.substr(0, at)};
    while ((at = inner.find_first_not_of(' ', at)) != std::string::npos) {
      const std::size_t equals = inner.find("=\"", at), end = inner.find('"', equals + 2);
      if (equals == std::string::npos || end == std::string::npos) fail("attribute without value");
      if (!element.attributes
               .emplace(inner.substr(at, equals - at), unescaped(inner.substr(equals + 2, end - equals - 2)))
               .second)
        fail("attribute twice");
      at = end + 1;
    }
    elements_.push_back(std::move(element));
  }

  const std::string& text_;
  std::size_t at_ = 0;
  bool is_inside_last_ = false;  // no other element began or ended since
  std::vector<std::string> open_;
  std::vector<Element> elements_;
};

struct Box {
  double left, top, right, bottom;
  std::string text;
};

double attribute(const Element& element, const char* name) { return std::stod(element.attributes.at(name)); }

Box box_of(const Element& text) {
  const double x = attribute(text, "x"), y = attribute(text, "y"), size = attribute(text, "font-size");
  const double width = text_px(text.text, size);
  const auto anchor = text.attributes.find("text-anchor");
  const double before = anchor == text.attributes.end() ? 0 : anchor->second == "end" ? width : width / 2;
  if (text.attributes.contains("transform")) return {x - size, y - width / 2, x, y + width / 2, text.text};
  return {x - before, y - size * 0.8, x - before + width, y + size * 0.15, text.text};
}

// Coordinates of a path of absolute M, L, H, V, A and Z.
void each_coordinate(const std::string& path, const std::function<void(double x, double y)>& take) {
  double x = 0, y = 0;
  for (std::size_t at = 0; at < path.size();) {
    const char command = path[at];
    std::size_t end = path.find_first_of("MLHVAZ", at + 1);
    end = std::min(end, path.size());
    std::istringstream numbers(path.substr(at + 1, end - at - 1));
    std::vector<double> values;
    for (double value = 0; numbers >> value;) values.push_back(value);
    ASSERT_TRUE(numbers.eof()) << path;
    if (command == 'H') x = values.at(0);
    if (command == 'V') y = values.at(0);
    if (command == 'M' || command == 'L' || command == 'A') {
      x = values.at(values.size() - 2);
      y = values.back();
    }
    take(x, y);
    at = end;
  }
}

// Empty, or what is wrong with the picture.
std::string trouble(const std::string& svg) {
  std::vector<Element> elements;
  try {
    elements = XmlReader(svg).read();
  } catch (const std::exception& error) {
    return error.what();
  }
  const double width = attribute(elements.at(0), "width"), height = attribute(elements.at(0), "height");
  std::string wrong;
  const auto inside = [&](double left, double top, double right, double bottom, const std::string& what) {
    if (!(left >= -0.6 && top >= -0.6 && right <= width + 0.6 && bottom <= height + 0.6))
      wrong =
          fmt::format("outside of {} x {}: {} from {}, {} to {}, {}", width, height, what, left, top, right, bottom);
  };
  constexpr double rounding = 0.2;  // coordinates have one digit
  std::vector<Box> boxes;
  for (const Element& element : elements) {
    if (element.name == "text") {
      const Box box = box_of(element);
      inside(box.left, box.top, box.right, box.bottom, box.text);
      for (const Box& other : boxes)
        if (box.left + rounding < other.right && other.left + rounding < box.right &&
            box.top + rounding < other.bottom && other.top + rounding < box.bottom)
          wrong = fmt::format("'{}' at {}, {} lies on '{}' at {}, {}", box.text, box.left, box.top, other.text,
                              other.left, other.top);
      boxes.push_back(box);
    }
    if (element.name == "path")
      each_coordinate(element.attributes.at("d"), [&](double x, double y) { inside(x, y, x, y, "a path"); });
    if (element.name == "rect" && element.attributes.contains("x"))
      inside(attribute(element, "x"), attribute(element, "y"), attribute(element, "x") + attribute(element, "width"),
             attribute(element, "y") + attribute(element, "height"), "a bar");
  }
  return wrong;
}

Figure lines(std::vector<FigurePoint> points) {
  return {.id = "time",
          .title = "Time over batch",
          .caption = "A caption.",
          .x = {.label = "batch", .unit = FigureUnit::count, .logarithmic = true, .from_zero = false},
          .y = {.label = "seconds", .unit = FigureUnit::seconds},
          .series = {{.name = "MP4", .points = std::move(points)}}};
}

TEST(Svg, SaysWhatItShowsToThoseWhoDoNotSeeIt) {
  const std::string svg = to_svg(lines({{.x = 1, .y = 2}, {.x = 2, .y = 3, .low = 2, .high = 4, .note = "not valid"}}));
  EXPECT_EQ(trouble(svg), "");
  EXPECT_THAT(svg, HasSubstr("role=\"img\" aria-labelledby=\"time-svg-title time-svg-desc\""));
  EXPECT_THAT(svg, HasSubstr("<title id=\"time-svg-title\">Time over batch</title>"));
  EXPECT_THAT(svg, HasSubstr("<title>MP4\nbatch: 1\nseconds: 2</title>"));
  EXPECT_THAT(svg, HasSubstr("<title>MP4\nbatch: 2\nseconds: 3\n95 %: 2 to 4\nnot valid</title>"));
  EXPECT_THAT(svg, Not(HasSubstr("href")));
}

TEST(Svg, HostileNamesStayText) {
  Figure figure = lines({{.x = 1, .y = 1, .note = "a\x01<b>\xff\"&"}});
  figure.id = "x\" onload=\"y";
  figure.title = "</svg><script>alert(1)</script>";
  figure.series[0].name = "]]>\xe2\x80\xae" + std::string(3000, 'W') + "\n&amp;";
  figure.limits = {{.y = 1, .label = std::string(500, '<')}};
  const std::string svg = to_svg(figure);
  EXPECT_EQ(trouble(svg), "");
  EXPECT_THAT(svg, Not(HasSubstr("<script")));
  EXPECT_THAT(svg, Not(HasSubstr("\xe2\x80\xae")));
  EXPECT_THAT(svg, HasSubstr("id=\"xonloady-svg-title\""));
}

TEST(Svg, SixtyStrategiesAreToldApart) {
  Figure figure = lines({});
  figure.series.clear();
  for (std::size_t i = 0; i < 60; ++i)
    figure.series.push_back({.name = "strategy " + std::to_string(i), .style = i, .points = {{.x = 1, .y = 1.0 + i}}});
  const std::string svg = to_svg(figure);
  EXPECT_EQ(trouble(svg), "");
  EXPECT_THAT(svg, HasSubstr(">strategy 59<"));
}

TEST(Svg, EqualNamesShareALegendEntry) {
  Figure figure = lines({{.x = 1, .y = 1}});
  figure.series.push_back(
      {.name = "MP4", .stroke = FigureStroke::dashed, .hollow = true, .points = {{.x = 2, .y = 2}}});
  const std::string svg = to_svg(figure);
  EXPECT_EQ(svg.find("MP4</text>"), svg.rfind("MP4</text>"));
}

// What a page hides with a legend's entry: all that belongs to the series, and nothing else.
TEST(Svg, WhatBelongsToASeriesIsMarked) {
  for (const FigureKind kind : {FigureKind::lines, FigureKind::stacked_bars, FigureKind::intervals}) {
    Figure figure = lines({{.x = 0, .y = 1, .label = "here"}, {.x = 1, .y = 2}});
    figure.kind = kind;
    figure.x = {.label = "cell", .categories = {"a", "b"}};
    figure.series.push_back({.name = "TP<4", .points = {{.x = 0, .y = 2}}});
    const std::string svg = to_svg(figure);
    EXPECT_EQ(trouble(svg), "");
    std::size_t titles = 0;
    for (std::size_t at = 0; (at = svg.find("<g data-series=\"", at)) != svg.npos; ++at) {
      const std::string group = svg.substr(at, svg.find("</g>", at) - at);
      for (std::size_t title = 0; (title = group.find("<title>", title)) != group.npos; ++title) {
        const std::size_t begin = title + 7, end = group.find_first_of("\n<", begin);
        EXPECT_TRUE(group.starts_with("<g data-series=\"" + group.substr(begin, end - begin) + "\"")) << group;
        ++titles;
      }
    }
    EXPECT_EQ(titles, 3u + 2u) << svg;  // points, entries of the legend
  }
}

TEST(Svg, WhatIsNotFiniteIsLeftOut) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const std::string svg =
      to_svg(lines({{.x = nan, .y = 1}, {.x = 1, .y = inf}, {.x = 0, .y = 1}, {.x = 2, .y = -1e308}}));
  EXPECT_EQ(trouble(svg), "");
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_EQ(trouble(to_svg(Figure{.id = "empty"})), "");
}

double any_number() {
  constexpr double odd[] = {0, 1, -1, 1e308, -1e308, 5e-324, INFINITY, -INFINITY, NAN, 1 + 1e-15};
  if (*rc::gen::inRange(0, 4) == 0) return odd[*rc::gen::inRange(0, 10)];
  return *rc::gen::inRange(-9, 100) * std::pow(10, *rc::gen::inRange(-8, 8));
}

std::string any_text() { return *rc::gen::container<std::string>(rc::gen::arbitrary<char>()); }

FigureAxis any_axis() {
  FigureAxis axis{.label = any_text(), .unit = static_cast<FigureUnit>(*rc::gen::inRange(0, 9))};
  axis.logarithmic = *rc::gen::arbitrary<bool>();
  axis.from_zero = *rc::gen::arbitrary<bool>();
  return axis;
}

Figure any_figure() {
  Figure figure{.id = any_text(), .title = any_text(), .caption = any_text(), .x = any_axis(), .y = any_axis()};
  figure.kind = static_cast<FigureKind>(*rc::gen::inRange(0, 3));
  for (int i = *rc::gen::inRange(0, 20); i > 0; --i) figure.x.categories.push_back(any_text());
  for (int i = *rc::gen::inRange(0, 6); i > 0; --i) {
    FigureSeries series{.name = any_text(), .style = static_cast<std::size_t>(i)};
    series.stroke = static_cast<FigureStroke>(*rc::gen::inRange(0, 4));
    for (int j = *rc::gen::inRange(0, 6); j > 0; --j) {
      FigurePoint point{.x = any_number(), .y = any_number(), .label = any_text(), .note = any_text()};
      if (*rc::gen::arbitrary<bool>()) point.low = any_number();
      if (*rc::gen::arbitrary<bool>()) point.high = any_number();
      series.points.push_back(std::move(point));
    }
    figure.series.push_back(std::move(series));
  }
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) figure.limits.push_back({any_number(), any_text()});
  return figure;
}

RC_GTEST_PROP(Svg, AnyFigureIsWellFormedAndInsideItsPicture, ()) {
  const Figure figure = any_figure();
  for (const double width : {paper_width, screen_width})
    if (const std::string wrong = trouble(to_svg(figure, width)); !wrong.empty()) RC_FAIL(wrong);
}

TEST(SvgText, IsCutInTheMiddleAndWrapped) {
  EXPECT_EQ(clean_text("a\tb\x1b[31m\xc3\xa9\xc3"), "a b[31mé\xef\xbf\xbd");
  EXPECT_EQ(clean_text("\xed\xa0\x80\xf4\x90\x80\x80\xc0\xaf"),
            "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd");  // as Python cuts what is ill-formed
  for (const char* name : {"p50", "p90", "p99", "TP4 fused", "MP4"})
    for (const double size : {9.0, 10.5, 11.0, 12.0}) EXPECT_EQ(fit_text(name, size, text_px(name, size)), name);
  const std::string fitted = fit_text("abcdefghijklmnopqrstuvwxyz", 10, 60);
  EXPECT_LE(text_px(fitted, 10), 60);
  EXPECT_TRUE(fitted.starts_with("a") && fitted.ends_with("z")) << fitted;
  EXPECT_EQ(wrap_text("aa bb cc", 10, text_px("aa bb", 10)), (std::vector<std::string>{"aa bb", "cc"}));
}

}  // namespace
}  // namespace batchscope
