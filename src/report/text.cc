// Terminal text (report/text.h).
#include "report/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/json.h"
#include "base/units.h"
#include "base/utf8.h"

namespace batchscope {
namespace {

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

std::string painted(const std::string& text, Colour colour, bool colours) {
  if (!colours || colour == Colour::none) return text;
  constexpr const char* codes[] = {"0", "1", "2", "32", "33", "31;1"};
  return fmt::format("\x1b[{}m{}\x1b[0m", codes[static_cast<int>(colour)], text);
}

}  // namespace

std::size_t text_width(std::string_view text) { return code_points(text); }

std::string pad_left(std::string_view text, std::size_t width) {
  return std::string(width - std::min(width, text_width(text)), ' ').append(text);
}

std::string pad_right(std::string_view text, std::size_t width) {
  return std::string(text).append(width - std::min(width, text_width(text)), ' ');
}

std::string shorten(std::string_view text, std::size_t width) {
  if (text_width(text) <= width) return std::string(text);
  std::size_t points = 0, bytes = 0;
  while (bytes < text.size() && (points + 1 < width || continues(text[bytes]))) {
    points += continues(text[bytes]) ? 0 : 1;
    ++bytes;
  }
  while (bytes < text.size() && continues(text[bytes])) ++bytes;
  return std::string(text.substr(0, bytes)) + "…";
}

std::string wrap(std::string_view raw, std::size_t width, std::size_t indent) {
  const std::string shown = visible(raw);
  std::string_view text = shown;
  std::string out;
  std::size_t column = 0;
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (column > indent && column + 1 + text_width(word) > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (!out.empty()) {
      out += ' ';
      ++column;
    }
    out += word;
    column += text_width(word);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

TextTable::TextTable(std::vector<std::string> header) : header_(std::move(header)) {
  for (std::string& name : header_) name = visible(name);
}

void TextTable::add(std::vector<Field> row) {
  CHECK_EQUAL(row.size(), header_.size(), "a row has a field for every column");
  for (Field& field : row) field.text = visible(field.text);
  rows_.push_back(std::move(row));
}

std::string TextTable::print(bool colour) const {
  std::vector<std::size_t> widths;
  for (std::size_t column = 0; column < header_.size(); ++column) {
    widths.push_back(text_width(header_[column]));
    for (const auto& row : rows_) widths[column] = std::max(widths[column], text_width(row[column].text));
  }
  std::string out;
  for (std::size_t begin = 1; begin < header_.size() || begin == 1;) {
    std::size_t end = begin, used = widths[0];
    while (end < header_.size() && (end == begin || used + 2 + widths[end] <= terminal_columns))
      used += 2 + widths[end++];
    if (begin > 1) out += '\n';
    out += print_part(begin, end, widths, colour);
    begin = std::max(end, begin + 1);
  }
  return out;
}

// The first column stands left, numbers right.
std::string TextTable::print_part(std::size_t begin, std::size_t end, const std::vector<std::size_t>& widths,
                                  bool colour) const {
  std::string out = painted(pad_right(header_[0], widths[0]), Colour::bold, colour);
  for (std::size_t column = begin; column < end; ++column)
    out += "  " + painted(pad_left(header_[column], widths[column]), Colour::bold, colour);
  out += '\n';
  for (const auto& row : rows_) {
    out += painted(pad_right(row[0].text, widths[0]), row[0].colour, colour);
    for (std::size_t column = begin; column < end; ++column)
      out += "  " + painted(pad_left(row[column].text, widths[column]), row[column].colour, colour);
    while (out.back() == ' ') out.pop_back();
    out += '\n';
  }
  return out;
}

std::string bytes_text(std::optional<double> bytes) { return bytes ? format_bytes(*bytes) : "?"; }

std::string percent_text(std::optional<double> share, int digits) {
  return share ? fmt::format("{:.{}f} %", *share * 100, digits) : "?";
}

std::string milliseconds_text(std::optional<double> milliseconds) {
  if (!milliseconds) return "?";
  return fmt::format("{:.{}f}", *milliseconds, *milliseconds < 9.995 ? 2 : *milliseconds < 99.95 ? 1 : 0);
}

std::string seconds_text(std::optional<double> seconds) {
  if (!seconds) return "?";
  const int digits = *seconds >= 100 ? 0 : *seconds >= 10 ? 1 : *seconds >= 1 ? 2 : 3;
  return fmt::format("{:.{}f}", *seconds, digits);
}

}  // namespace batchscope
