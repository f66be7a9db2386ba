// A screen's cells: what stands where, and in which style. What a style looks like is the terminal's business.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope::top {

enum class Style : std::uint8_t {
  plain,
  dim,      // of less weight
  bold,     // a name
  title,    // the first line, heads of tables
  key,      // a key of the last line
  warning,  // something holds back
  alarm,    // something is wrong
  used,     // bars and graphs of what is used
  reserved,
  sent,  // graphs of links
  received,
};
constexpr std::size_t style_count = 11;

struct Cell {
  char32_t glyph = U' ';
  Style style = Style::plain;
  bool operator==(const Cell&) const = default;
};

class Grid {
 public:
  Grid(std::size_t width, std::size_t height) : width_(width), cells_(width * height) {}

  std::size_t width() const { return width_; }
  std::size_t height() const { return width_ == 0 ? 0 : cells_.size() / width_; }
  void set_height(std::size_t height) { cells_.resize(width_ * height); }
  const Cell& at(std::size_t x, std::size_t y) const { return cells_[y * width_ + x]; }
  void set(std::size_t x, std::size_t y, char32_t glyph, Style style);  // nothing happens outside
  void copy_row(const Grid& from, std::size_t row, std::size_t to);

  std::string line(std::size_t y) const;  // UTF-8, without blanks at the end
  std::string text() const;               // all lines
  // The same of ASCII alone, for terminals and languages that have no more.
  void make_ascii();

 private:
  std::size_t width_;
  std::vector<Cell> cells_;
};

// A part of a grid, in which text is cut at the right edge.
struct Area {
  Grid& grid;
  std::size_t x = 0, y = 0, width = 0;

  // Returns the column behind the text. Control characters, and what may be wider than a column, become '?'.
  std::size_t put(std::size_t column, std::size_t row, std::string_view utf8, Style style = Style::plain) const;
  void put_right(std::size_t end, std::size_t row, std::string_view utf8, Style style = Style::plain) const;
  void set(std::size_t column, std::size_t row, char32_t glyph, Style style) const;
  void fill(std::size_t row, Style style) const;  // the whole row, behind what is put there later
};

// In columns.
std::size_t text_columns(std::string_view utf8);

}  // namespace batchscope::top
