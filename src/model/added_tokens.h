// Tokens beside a tokenizer's vocabulary, or singled out of it, that are cut out of texts as they stand.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/bpe.h"
#include "model/normalizer.h"

namespace batchscope {

struct AddedToken {
  std::string content;
  std::optional<std::int32_t> id;  // absent: the vocabulary's, else the next one that is free
  bool special = true;             // left out when decoding
  bool strip_left = false;         // takes the white space before it
  bool strip_right = false;        // … behind it
  bool single_word = false;        // not inside a word
  bool normalized = false;         // looked for in the normalised text

  bool operator==(const AddedToken&) const = default;
};

// Finds the longest of several texts that begins at a place.
class TextTrie {
 public:
  // Of equal texts the first one counts.
  void add(std::string_view text, std::int32_t value);
  struct Match {
    std::size_t begin = 0, end = 0;
    std::int32_t value = 0;
  };
  std::optional<Match> find(std::string_view text, std::size_t from) const;  // the leftmost

 private:
  struct Node {
    std::map<unsigned char, std::size_t> next;
    std::optional<std::int32_t> value;
  };
  std::vector<Node> nodes_{1};
};

// A stretch of a text: an added token's, or what the model encodes.
struct TokenSpan {
  Span span;
  std::optional<std::int32_t> id;
};

class AddedTokens {
 public:
  // As transformers' tokenizers do: a token's id is the vocabulary's, else the next free one; a token added again
  // takes its new settings, but is still looked for where it was before, too.
  void add(const AddedToken& token, const Vocabulary& vocabulary);
  // To be called when all are added. InputError, beginning with `origin`, for a token that normalisation leaves empty.
  void finish(const std::vector<Normalizer>& normalizers, std::string_view origin);

  // The tokens looked for before normalisation, and behind it.
  void find_raw(std::string_view text, std::vector<TokenSpan>& spans) const { find(raw_, text, spans); }
  void find_normalized(std::string_view text, std::vector<TokenSpan>& spans) const { find(normalized_, text, spans); }

  // What a token decodes to: "" when it is left out; null when it is none of these.
  const std::string* text_of(std::int32_t id) const;
  std::int32_t largest_id() const { return by_id_.empty() ? -1 : by_id_.rbegin()->first; }

 private:
  void find(const TextTrie& tokens, std::string_view text, std::vector<TokenSpan>& spans) const;

  std::vector<AddedToken> first_;              // what is looked for, as it was first added
  Vocabulary ids_, specials_;                  // by content
  std::map<std::int32_t, AddedToken> by_id_;   // as last added
  std::map<std::int32_t, std::string> texts_;  // decoded
  TextTrie raw_, normalized_;
};

}  // namespace batchscope
