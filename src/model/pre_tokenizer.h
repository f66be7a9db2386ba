// How a tokenizer cuts a text into words before it encodes them: the pre-tokenizers of tokenizer.json, as a few steps.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "model/normalizer.h"
#include "model/regular_expression.h"

namespace batchscope {

// What becomes of the matches: words of their own, nothing, one word for matches side by side, or an end or a
// beginning of the word beside them.
enum class SplitBehavior { isolated, removed, contiguous, merged_with_previous, merged_with_next };

struct SplitWords {
  TextPattern pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  // what lies between the matches counts as matches
};
struct PrependSpace {};  // to words that do not begin with one
struct WriteBytes {};    // as the characters of byte-level BPE
enum class MarkFirst { always, never, first };
struct MarkSpaces {  // spaces become `mark`; a word that does not begin with it gets it: always, or if the text begins
                     // so
  std::string mark;
  MarkFirst first = MarkFirst::always;
};
using PreTokenizer = std::variant<SplitWords, PrependSpace, WriteBytes, MarkSpaces>;

// Words of a text, in order, as stretches of it.
struct Words {
  TextPart part;
  std::vector<Span> words;  // none is empty
};

Words pre_tokenize(const std::vector<PreTokenizer>& steps, TextPart part);

}  // namespace batchscope
