// ICU's macros (base/utf8.h), which need no library.
#include "base/utf8.h"

#include <unicode/utf8.h>

#include <algorithm>
#include <cstdint>

namespace batchscope {

std::optional<char32_t> next_code_point(std::string_view text, std::size_t& at) {
  const std::size_t length = text.size();
  UChar32 value = 0;
  U8_NEXT(text.data(), at, length, value);
  return value < 0 ? std::nullopt : std::optional(static_cast<char32_t>(value));
}

void append_code_point(char32_t value, std::string& text) {
  char bytes[U8_MAX_LENGTH];
  std::size_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, value);
  text.append(bytes, length);
}

std::string well_formed(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (next_code_point(text, at))
      result += text.substr(begin, at - begin);
    else
      result += "\ufffd";
  }
  return result;
}

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace batchscope
