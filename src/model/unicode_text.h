// UTF-8 text as tokenizers see it: well-formed, by code points, with Unicode's character classes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/utf8.h"

namespace batchscope {

// The functions below expect well-formed text.

struct CodePoint {
  char32_t value = 0;
  std::size_t bytes = 0;
};
CodePoint code_point_at(std::string_view text, std::size_t at);
CodePoint code_point_before(std::string_view text, std::size_t end);  // the one that ends at `end`

bool is_white_space(char32_t value);  // White_Space
bool is_word(char32_t value);         // \w: Alphabetic, M, Nd, Pc, Join_Control

// Length of the white space that `text` begins or ends with, in bytes.
std::size_t leading_white_space(std::string_view text);
std::size_t trailing_white_space(std::string_view text);

void replace_all(std::string& text, std::string_view from, std::string_view to);

// Byte-level BPE writes every byte as a visible character; texts become strings of these.
void append_byte_character(unsigned char byte, std::string& text);
// The byte that a character stands for, -1 when it stands for none.
int byte_of_character(char32_t value);

}  // namespace batchscope
