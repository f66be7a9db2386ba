// Code points and their classes from ICU (model/unicode_text.h).
#include "model/unicode_text.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <array>

namespace batchscope {
namespace {

// ICU counts in int32_t; texts are far shorter.
std::int32_t length_of(std::string_view text) { return static_cast<std::int32_t>(text.size()); }

// Printable bytes stand for themselves; the others, in order, for the characters from U+0100 on.
struct ByteCharacters {
  std::array<char32_t, 256> of_byte{};
  std::array<std::int16_t, 512> to_byte{};

  constexpr ByteCharacters() {
    for (auto& byte : to_byte) byte = -1;
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      const char32_t character = visible ? static_cast<char32_t>(byte) : next++;
      of_byte[static_cast<std::size_t>(byte)] = character;
      to_byte[character] = static_cast<std::int16_t>(byte);
    }
  }
};
constexpr ByteCharacters byte_characters;

}  // namespace

CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) return {first, 1};
  auto next = static_cast<std::int32_t>(at);
  UChar32 value = 0;
  U8_NEXT_OR_FFFD(text.data(), next, length_of(text), value);
  return {static_cast<char32_t>(value), static_cast<std::size_t>(next) - at};
}

CodePoint code_point_before(std::string_view text, std::size_t end) {
  auto begin = static_cast<std::int32_t>(end);
  UChar32 value = 0;
  U8_PREV_OR_FFFD(text.data(), 0, begin, value);
  return {static_cast<char32_t>(value), end - static_cast<std::size_t>(begin)};
}

bool is_white_space(char32_t value) { return u_isUWhiteSpace(static_cast<UChar32>(value)); }

bool is_word(char32_t value) {
  const auto character = static_cast<UChar32>(value);
  const auto categories = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return u_isUAlphabetic(character) || (U_GET_GC_MASK(character) & categories) != 0 ||
         u_hasBinaryProperty(character, UCHAR_JOIN_CONTROL);
}

std::size_t leading_white_space(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const CodePoint next = code_point_at(text, at);
    if (!is_white_space(next.value)) break;
    at += next.bytes;
  }
  return at;
}

std::size_t trailing_white_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    const CodePoint last = code_point_before(text, end);
    if (!is_white_space(last.value)) break;
    end -= last.bytes;
  }
  return text.size() - end;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::size_t found = from.empty() ? std::string::npos : text.find(from);
  if (found == std::string::npos) return;
  std::string result;
  std::size_t begin = 0;
  for (; found != std::string::npos; found = text.find(from, begin)) {
    result.append(text, begin, found - begin);
    result += to;
    begin = found + from.size();
  }
  result.append(text, begin);
  text = std::move(result);
}

void append_byte_character(unsigned char byte, std::string& text) {
  append_code_point(byte_characters.of_byte[byte], text);
}

int byte_of_character(char32_t value) {
  return value < byte_characters.to_byte.size() ? byte_characters.to_byte[value] : -1;
}

}  // namespace batchscope
