// UTF-8 by ICU's macros: the one place that takes code points out of bytes and puts them back.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace batchscope {

// The code point at `at`, which moves behind it. Absent where the bytes are ill-formed: `at` moves behind the part that one
// U+FFFD stands for in Python's errors="replace" (the longest that a character could begin with).
std::optional<char32_t> next_code_point(std::string_view text, std::size_t& at);

void append_code_point(char32_t value, std::string& text);

// The same text when it is well-formed; else each ill-formed part is one U+FFFD.
std::string well_formed(std::string_view text);

// Of a well-formed text.
std::size_t code_points(std::string_view text);

}  // namespace batchscope
