// Cells (top/grid.h).
#include "top/grid.h"

#include <algorithm>

#include "base/utf8.h"

namespace batchscope::top {
namespace {

// One column wide in every terminal: ASCII, European letters, dashes and dots, arrows, blocks.
bool is_narrow(char32_t code) {
  return (code >= 0x20 && code < 0x7f) || (code >= 0xa1 && code < 0x300 && code != 0xad) ||
         (code >= 0x370 && code < 0x530) || (code >= 0x2010 && code < 0x2027) || (code >= 0x2190 && code < 0x21a0) ||
         (code >= 0x2580 && code < 0x25a0) || code == 0x21e7;
}

char32_t ascii_of(char32_t glyph) {
  constexpr std::u32string_view levels = U"▁▂▃▄▅▆▇█";
  constexpr std::string_view ascii_levels = "_.-=+*%#";
  if (glyph < 0x80) return glyph;
  if (const auto level = levels.find(glyph); level != std::u32string_view::npos)
    return static_cast<char32_t>(ascii_levels[level]);
  switch (glyph) {
    case U'░':
      return U'.';
    case U'▒':
      return U'=';
    case U'·':
    case U'–':
      return U'-';
    case U'…':
      return U'~';
    case U'←':
      return U'<';
    case U'→':
      return U'>';
    default:
      return U'?';
  }
}

}  // namespace

std::size_t text_columns(std::string_view utf8) {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < utf8.size(); ++columns) next_code_point(utf8, at);
  return columns;
}

void Grid::set(std::size_t x, std::size_t y, char32_t glyph, Style style) {
  if (x < width_ && y < height()) cells_[y * width_ + x] = {glyph, style};
}

void Grid::copy_row(const Grid& from, std::size_t row, std::size_t to) {
  const std::size_t count = std::min(width_, from.width_);
  if (row < from.height() && to < height())
    std::copy_n(from.cells_.begin() + static_cast<std::ptrdiff_t>(row * from.width_), count,
                cells_.begin() + static_cast<std::ptrdiff_t>(to * width_));
}

std::string Grid::line(std::size_t y) const {
  std::string out;
  for (std::size_t x = 0; x < width_; ++x) append_code_point(at(x, y).glyph, out);
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

std::string Grid::text() const {
  std::string out;
  for (std::size_t y = 0; y < height(); ++y) out += line(y) + "\n";
  return out;
}

void Grid::make_ascii() {
  for (Cell& cell : cells_) cell.glyph = ascii_of(cell.glyph);
}

std::size_t Area::put(std::size_t column, std::size_t row, std::string_view utf8, Style style) const {
  for (std::size_t at = 0; at < utf8.size(); ++column) {
    const char32_t code = next_code_point(utf8, at).value_or(U'?');
    set(column, row, is_narrow(code) ? code : U'?', style);
  }
  return column;
}

void Area::put_right(std::size_t end, std::size_t row, std::string_view utf8, Style style) const {
  const std::size_t columns = text_columns(utf8);
  put(end > columns ? end - columns : 0, row, utf8, style);
}

void Area::set(std::size_t column, std::size_t row, char32_t glyph, Style style) const {
  if (column < width) grid.set(x + column, y + row, glyph, style);
}

void Area::fill(std::size_t row, Style style) const {
  for (std::size_t column = 0; column < width; ++column) set(column, row, U' ', style);
}

}  // namespace batchscope::top
