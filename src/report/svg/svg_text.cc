// Text in an SVG (report/svg/svg_text.h).
#include "report/svg/svg_text.h"

#include <algorithm>
#include <cstdint>

#include "base/utf8.h"

namespace batchscope {
namespace {

constexpr char32_t broken = 0xfffd;

// Of no use in a picture, or forbidden in XML, or turning the direction of what follows.
bool is_dropped(char32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || (point >= 0x200b && point <= 0x200f) ||
         (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f) || point == 0xfeff ||
         (point & 0xfffe) == 0xfffe;
}

std::u32string decoded(std::string_view text) {
  std::u32string points;
  for (std::size_t at = 0; at < text.size();) points += next_code_point(text, at).value_or(broken);
  return points;
}

std::string encoded(std::u32string_view points) {
  std::string text;
  for (const char32_t point : points) append_code_point(point, text);
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
  if (width_of(points) <= ems + 1e-6) return points;  // which may have been computed from its own width
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
      append_code_point(point, clean);
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
