// What a tokenizer does to a text before it is cut: the normalizers of tokenizer.json.
#pragma once

#include <algorithm>
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

// The longest text that is tokenised; no task has such. Far below what ICU counts, in int32_t.
constexpr std::size_t longest_text = 64 << 20;

// What the steps of a file may make of a text of so many bytes, whatever it says: each may multiply what the one before
// made. Unicode's own multiply by 22 at most.
constexpr std::size_t most_made_of(std::size_t bytes) { return std::min(longest_text, (1 << 20) + 64 * bytes); }
struct MadeTooLong {};  // thrown where they would make more
void check_made(std::size_t bytes, std::size_t most);

// A part of the text that goes through the steps of a tokenizer.
struct TextPart {
  std::string text;
  bool at_start = false;  // its first character is the first of the whole text
  std::size_t most = most_made_of(text.size());
};

// MadeTooLong.
void normalize(const std::vector<Normalizer>& steps, TextPart& part);

}  // namespace batchscope
