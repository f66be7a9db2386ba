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

inline constexpr std::int64_t largest_token_id = (1 << 24) - 1;

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

// Finds many texts at once, in time linear in the text that is searched: the automaton of Aho and Corasick (1975). It
// reads backwards, so that what it has found at a place is the longest text that begins there.
class TextTrie {
 public:
  // Of equal texts the first one counts.
  void add(std::string_view text, std::int32_t value);
  void finish();  // to be called when all are added
  struct Match {
    std::uint32_t begin = 0, end = 0;
    std::int32_t value = 0;
  };
  // At each place where one begins the longest, from left to right.
  std::vector<Match> find_all(std::string_view text) const;

 private:
  struct Node {
    std::map<unsigned char, std::uint32_t> next{};
    std::uint32_t shorter = 0;  // the node of the longest text that this one's ends with
    std::uint32_t length = 0;   // of the longest text that is found here; 0: none
    std::int32_t value = 0;
  };
  std::uint32_t follow(std::uint32_t node, char c) const;

  std::vector<Node> nodes_{1};
  std::string first_bytes_;  // that texts begin with
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
  std::optional<std::int32_t> id_of(const std::string& content) const {
    const auto found = ids_.find(content);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
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
