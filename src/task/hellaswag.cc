// HellaSwag's text rules (task/hellaswag.h), on ICU for what Unicode defines.
#include "task/hellaswag.h"

#include <unicode/locid.h>
#include <unicode/stringoptions.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <algorithm>

#include "base/check.h"

namespace batchscope {
namespace {

// Python's white space: Unicode's, and the four ASCII separators.
bool is_space(UChar32 c) { return c >= 0 && u_isspace(c) != 0; }

std::string lower(std::string_view text) {
  icu::UnicodeString units = icu::UnicodeString::fromUTF8({text.data(), static_cast<int32_t>(text.size())});
  units.toLower(icu::Locale::getRoot());
  std::string out;
  return units.toUTF8String(out);
}

std::string title(std::string_view code_point) {
  icu::UnicodeString units = icu::UnicodeString::fromUTF8({code_point.data(), static_cast<int32_t>(code_point.size())});
  units.toTitle(nullptr, icu::Locale::getRoot(),
                U_TITLECASE_WHOLE_STRING | U_TITLECASE_NO_BREAK_ADJUSTMENT | U_TITLECASE_NO_LOWERCASE);
  std::string out;
  return units.toUTF8String(out);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// Without every shortest "[...]" that does not cross a line's end: Python's re.sub("\\[.*?\\]", "", text).
std::string without_tags(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t open = std::min(text.find('[', at), text.size());
    out += text.substr(at, open - at);
    if (open == text.size()) break;
    const std::size_t close = std::min(text.find_first_of("]\n", open), text.size());
    if (close < text.size() && text[close] == ']') {
      at = close + 1;
    } else {  // no tag closes in this line: all of it stays
      out += text.substr(open, close - open);
      at = close;
    }
  }
  return out;
}

}  // namespace

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  CHECK_THAT(text.size() < (1u << 30), "a text of {} bytes", text.size());
  int32_t first = 0;
  U8_FWD_1(text.data(), first, static_cast<int32_t>(text.size()));
  const std::string_view head = text.substr(0, static_cast<std::size_t>(first));
  // A final sigma looks back over all of the text, so all of it is lowered; the first code point's own share, which
  // depends on nothing before it, is then exchanged for its title case.
  return title(head) + lower(text).substr(lower(head).size());
}

std::size_t trailing_space(std::string_view text) {
  auto end = static_cast<int32_t>(text.size());
  while (end > 0) {
    int32_t at = end;
    UChar32 c = 0;
    U8_PREV(text.data(), 0, at, c);
    if (!is_space(c)) break;
    end = at;
  }
  return text.size() - static_cast<std::size_t>(end);
}

std::string_view strip(std::string_view text) {
  text.remove_suffix(trailing_space(text));
  const auto size = static_cast<int32_t>(text.size());
  int32_t begin = 0;
  while (begin < size) {
    int32_t at = begin;
    UChar32 c = 0;
    U8_NEXT(text.data(), at, size, c);
    if (!is_space(c)) break;
    begin = at;
  }
  return text.substr(static_cast<std::size_t>(begin));
}

std::string preprocess(std::string_view text) {
  std::string out(strip(text));
  replace_all(out, " [title]", ". ");
  out = without_tags(out);
  // One pass, from the left: three spaces become two.
  std::string single;
  for (std::size_t i = 0; i < out.size(); ++i) {
    single += out[i];
    if (out[i] == ' ' && i + 1 < out.size() && out[i + 1] == ' ') ++i;
  }
  return single;
}

}  // namespace batchscope
