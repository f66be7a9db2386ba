// Small pieces of terminal text: columns that line up, and numbers that say when they are unknown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope {

constexpr std::size_t terminal_columns = 80;

// Columns that the text takes in a terminal: code points, which is right for all that we print.
std::size_t text_width(std::string_view text);
std::string pad_left(std::string_view text, std::size_t width);
std::string pad_right(std::string_view text, std::size_t width);
// Cut to `width`, with "…" at the end where something is missing.
std::string shorten(std::string_view text, std::size_t width);
// Text broken at spaces into lines of at most `width`, all but the first indented; what a terminal would obey in it is
// made visible.
std::string wrap(std::string_view text, std::size_t width, std::size_t indent);

enum class Colour { none, bold, dim, green, yellow, red };

// A table whose first column is repeated in each part when it has to be split to fit 80 columns.
class TextTable {
 public:
  struct Field {
    std::string text;
    Colour colour = Colour::none;
    std::optional<double> value{};  // what `text` shows, unrounded; to sort by
  };
  // Texts may come from anybody's file: what a terminal would obey in them is made visible.
  explicit TextTable(std::vector<std::string> header);
  void add(std::vector<Field> row);  // as many as the header has
  bool empty() const { return rows_.empty(); }
  const std::vector<std::string>& header() const { return header_; }
  const std::vector<std::vector<Field>>& rows() const { return rows_; }
  // Lines end with '\n'; each part of a split table has its header.
  std::string print(bool colour) const;

 private:
  std::string print_part(std::size_t begin, std::size_t end, const std::vector<std::size_t>& widths, bool colour) const;

  std::vector<std::string> header_;
  std::vector<std::vector<Field>> rows_;
};

// "?" when unknown.
std::string bytes_text(std::optional<double> bytes);
std::string percent_text(std::optional<double> share, int digits = 1);  // share 0 to 1
std::string milliseconds_text(std::optional<double> milliseconds);      // "123", "12.3", "1.23"
std::string seconds_text(std::optional<double> seconds);                // "123", "12.3", "1.23", "0.123"

}  // namespace batchscope
