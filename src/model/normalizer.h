// What a tokenizer does to a text before it is cut: the normalizers of tokenizer.json.
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "model/regular_expression.h"

namespace batchscope {

struct PrependText {  // to every text that is not empty
  std::string text;
};
struct ReplaceText {
  TextPattern pattern;
  std::string content;
};
enum class UnicodeForm { nfc, nfd, nfkc, nfkd };
struct LowerCase {};  // character by character
struct StripText {    // of white space
  bool left = true, right = true;
};
using Normalizer = std::variant<PrependText, ReplaceText, UnicodeForm, LowerCase, StripText>;

// A part of the text that goes through the steps of a tokenizer.
struct TextPart {
  std::string text;
  bool at_start = false;  // its first character is the first of the whole text
};

// No step makes a longer text than this, whatever its file says: each may multiply what the one before made. Far below
// what ICU counts, in int32_t.
constexpr std::size_t longest_made_text = 64 << 20;
struct MadeTooLong {};  // thrown where one would
void check_made(std::size_t bytes);

// MadeTooLong.
void normalize(const std::vector<Normalizer>& steps, TextPart& part);

}  // namespace batchscope
