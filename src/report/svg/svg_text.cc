// Text in an SVG (report/svg/svg_text.h).
#include "report/svg/svg_text.h"

#include <algorithm>
#include <cstdint>

namespace batchscope {
namespace {

constexpr char32_t broken = 0xfffd;

// The code point at the front of `text`, which loses its bytes.
char32_t take_code_point(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t size = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  char32_t point = size == 1 ? first : size == 0 ? broken : first & (0xff >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if (i >= text.size() || byte(i) >> 6 != 2) {
      text.remove_prefix(i);
      return broken;
    }
    point = point << 6 | (byte(i) & 0x3f);
  }
  text.remove_prefix(std::max<std::size_t>(size, 1));
  return point < least[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ? broken : point;
}

void append_utf8(std::string& text, char32_t point) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  const auto rest = [&](int shift) { put(0x80 | (point >> shift & 0x3f)); };
  if (point < 0x80) return put(point);
  if (point < 0x800) return put(0xc0 | point >> 6), rest(0);
  if (point < 0x10000) return put(0xe0 | point >> 12), rest(6), rest(0);
  put(0xf0 | point >> 18), rest(12), rest(6), rest(0);
}

// Of no use in a picture, or forbidden in XML, or turning the direction of what follows.
bool is_dropped(char32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || (point >= 0x200b && point <= 0x200f) ||
         (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f) || point == 0xfeff ||
         (point & 0xfffe) == 0xfffe;
}

std::u32string decoded(std::string_view text) {
  std::u32string points;
  while (!text.empty()) points += take_code_point(text);
  return points;
}

std::string encoded(std::u32string_view points) {
  std::string text;
  for (const char32_t point : points) append_utf8(text, point);
  return text;
}

// In ems; DejaVu Sans is the widest of the fonts that we name.
double width_of(char32_t point) {
  if (point >= 0x300 && point < 0x370) return 0;  // combining
  if (point >= 0x1100) return point >= 0x2000 && point < 0x2e80 ? 1.0 : 1.1;
  if (point >= 0x80) return 0.8;
  const char letter = static_cast<char>(point);
  constexpr std::string_view narrow = "ijl.,:;'|! ", middling = "frtI()[]{}/\\-\"`*", wide = "mwMW%@&";
  if (narrow.find(letter) != narrow.npos) return 0.34;
  if (middling.find(letter) != middling.npos) return 0.5;
  if (wide.find(letter) != wide.npos) return 1.0;
  if (letter >= 'A' && letter <= 'Z') return 0.79;
  return std::string_view("+<>=~^#_").find(letter) != std::string_view::npos ? 0.84 : 0.64;
}

double width_of(std::u32string_view points) {
  double ems = 0;
  for (const char32_t point : points) ems += width_of(point);
  return ems;
}

std::u32string fitted(const std::u32string& points, double ems) {
  if (width_of(points) <= ems) return points;
  std::size_t head = 0, tail = points.size();
  double used = width_of(U'…');
  while (head < tail) {
    const bool at_head = head <= points.size() - tail;
    used += width_of(at_head ? points[head] : points[tail - 1]);
    if (used > ems) break;
    at_head ? ++head : --tail;
  }
  return points.substr(0, head) + U'…' + points.substr(tail);
}

}  // namespace

std::string clean_text(std::string_view text) {
  std::string clean;
  for (const char32_t point : decoded(text)) {
    if (point == '\t' || point == '\n' || point == '\r')
      clean += ' ';
    else if (!is_dropped(point))
      append_utf8(clean, point);
  }
  return clean;
}

std::string escape_xml(std::string_view clean) {
  std::string text;
  for (const char c : clean) switch (c) {
      case '&':
        text += "&amp;";
        break;
      case '<':
        text += "&lt;";
        break;
      case '>':
        text += "&gt;";
        break;
      case '"':
        text += "&quot;";
        break;
      default:
        text += c;
    }
  return text;
}

double text_px(std::string_view clean, double size) { return width_of(decoded(clean)) * size; }

std::string fit_text(const std::string& clean, double size, double width) {
  return encoded(fitted(decoded(clean), width / size));
}

std::vector<std::string> wrap_text(const std::string& clean, double size, double width) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < clean.size();) {
    const std::size_t end = std::min(clean.find(' ', at), clean.size());
    const std::string word = fit_text(clean.substr(at, end - at), size, width);
    at = end + 1;
    if (word.empty()) continue;
    if (!lines.empty() && text_px(lines.back() + " " + word, size) <= width)
      lines.back() += " " + word;
    else
      lines.push_back(word);
  }
  return lines;
}

}  // namespace batchscope
