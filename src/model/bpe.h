// Byte-pair encoding: a word's characters, merged pair by pair in the order that was learned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace batchscope {

// Text to token id, looked up without copying the text.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using Vocabulary = std::unordered_map<std::string, std::int32_t, TextHash, std::equal_to<>>;

struct BpeModel {
  Vocabulary vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;  // the first is merged first
  std::optional<std::string> unknown;                       // stands for characters outside the vocabulary
  bool fuse_unknown = false;                                // one for a run of them
  bool byte_fallback = false;                               // unless "<0x00>" to "<0xFF>" spell them
  bool ignore_merges = false;                               // a word that is in the vocabulary is one token
};

// Merges as SentencePiece implies them: every way to put a piece together from two others. Pieces come in the order
// of their scores, the highest first, or of their ids where there are none.
std::vector<std::pair<std::string, std::string>> merges_of_pieces(const std::vector<std::string>& pieces,
                                                                  const std::vector<float>& scores,
                                                                  std::string_view origin);

class Bpe {
 public:
  // InputError, beginning with `origin`, for a merge whose parts or result are no tokens.
  Bpe(BpeModel model, std::string_view origin);

  // Appends the ids of one word of well-formed text. n log n in its length. Thread-safe.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const;

  std::optional<std::int32_t> id_of(std::string_view token) const;
  const Vocabulary& vocabulary() const { return model_.vocabulary; }

 private:
  struct Merge {
    std::uint32_t rank;  // the lowest goes first
    std::int32_t id;     // of the token that the two become
  };
  // From a pair of ids to its merge: open addressing, read-only once it is filled.
  class MergeTable {
   public:
    explicit MergeTable(std::size_t merges);
    void put(std::int32_t left, std::int32_t right, Merge merge);
    const Merge* find(std::int32_t left, std::int32_t right) const;

   private:
    struct Slot {
      std::uint64_t key;
      Merge merge;
    };
    std::size_t slot_of(std::uint64_t key) const;
    std::vector<Slot> slots_;
    int shift_;
  };

  std::int32_t id_of_character(std::string_view character) const;
  void append_characters(std::string_view word, std::vector<std::int32_t>& ids) const;
  void merge_short(std::vector<std::int32_t>& ids, std::size_t begin) const;
  void merge_long(std::vector<std::int32_t>& ids, std::size_t begin) const;
  void encode_part(std::string_view word, std::vector<std::int32_t>& ids) const;
  bool words_begin_with_mark() const;

  BpeModel model_;
  std::string origin_;
  MergeTable merges_;
  std::vector<std::int32_t> short_characters_;  // ids of characters of one or two bytes, by code point; -1: none
  std::vector<std::int32_t> bytes_;             // ids of "<0x00>" to "<0xFF>"; empty when they are not used
  std::optional<std::int32_t> unknown_;
  bool cut_at_mark_ = false;  // no merge reaches across the beginning of a "▁word"
};

}  // namespace batchscope
