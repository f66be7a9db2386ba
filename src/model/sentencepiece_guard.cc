// A walk over a SentencePiece model's bytes before the library gets them (model/sentencepiece_guard.h).
#include "model/sentencepiece_guard.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "model/protocol_buffer.h"

namespace batchscope {
namespace {

// The normaliser's table: four bytes of length, a double array (a trie in 32-bit units), and the texts it leads to.
class CharacterMap {
 public:
  // True when no look-up of any text can leave the table, or match more than `most_matches` prefixes.
  static bool is_safe(std::string_view blob) {
    if (blob.empty()) return true;
    std::uint32_t size = 0;
    if (blob.size() <= sizeof size) return false;
    std::memcpy(&size, blob.data(), sizeof size);
    blob.remove_prefix(sizeof size);
    if (size >= blob.size() || size == 0 || size % 4 != 0) return false;
    return CharacterMap(blob.substr(0, size), blob.substr(size)).walk(0, 0) <= most_matches;
  }

 private:
  static constexpr int most_matches = 32, too_many = 1000, deepest = 512;
  static constexpr std::size_t longest_text = 256;  // that a character becomes; Unicode's longest has 33 bytes
  static constexpr int unseen = -1, on_path = -2;

  CharacterMap(std::string_view trie, std::string_view texts)
      : units_(trie.size() / 4), seen_(units_.size(), unseen), texts_(texts) {
    std::memcpy(units_.data(), trie.data(), trie.size());
  }

  // The most matches on any way from `node` down; `too_many` when one leads outside, or round in a circle.
  int walk(std::size_t node, int depth) {
    if (depth > deepest || seen_[node] == on_path) return too_many;
    if (seen_[node] != unseen) return seen_[node];
    seen_[node] = on_path;
    const std::uint32_t unit = units_[node];
    const std::size_t base = node ^ (static_cast<std::size_t>(unit >> 10) << ((unit & 0x200u) >> 6));
    int most = 0;
    if ((base | 0xff) >= units_.size()) return too_many;  // a look-up may go to any of these 256
    for (std::size_t byte = 0; byte < 256 && most < too_many; ++byte)
      if ((units_[base ^ byte] & 0x800000ffu) == byte) most = std::max(most, walk(base ^ byte, depth + 1));
    if ((unit & 0x100u) != 0) {
      const std::size_t text = units_[base] & 0x7fffffffu;
      if (text >= texts_.size() || !ends_soon(text)) return too_many;
      ++most;
    }
    return seen_[node] = std::min(most, too_many);
  }

  // Texts end with a zero byte; the last one may end with the table.
  bool ends_soon(std::size_t text) const {
    return std::min(texts_.find('\0', text), texts_.size()) - text <= longest_text;
  }

  std::vector<std::uint32_t> units_;
  std::vector<int> seen_;
  std::string_view texts_;
};

// The longest chain of texts each of which begins with the one before.
std::size_t longest_chain(std::vector<std::string_view> texts) {
  std::sort(texts.begin(), texts.end());
  std::vector<std::string_view> chain;
  std::size_t longest = 0;
  for (const std::string_view text : texts) {
    while (!chain.empty() && !text.starts_with(chain.back())) chain.pop_back();
    chain.push_back(text);
    longest = std::max(longest, chain.size());
  }
  return longest;
}

}  // namespace

bool is_safe_sentencepiece_model(std::string_view model) {
  // The fields of sentencepiece_model.proto that matter here.
  constexpr std::uint64_t pieces = 1, normalizer = 3, denormalizer = 5;      // of the model
  constexpr std::uint64_t piece_text = 1, piece_type = 3, user_defined = 4;  // of a piece
  constexpr std::uint64_t character_map = 2;                                 // of a normalizer
  constexpr std::size_t most_nested = 64;
  constexpr std::size_t longest_piece = 4096;  // the library builds its trie by recursion, a level a byte
  std::vector<std::string_view> symbols;
  const bool sound = each_field(model, [&](const MessageField& field) {
    if (field.id == pieces) {
      std::string_view text;
      std::uint64_t type = 0;
      const bool read = each_field(field.bytes, [&](const MessageField& part) {
        if (part.id == piece_text) text = part.bytes;
        if (part.id == piece_type) type = part.number;
        return true;
      });
      if (type == user_defined) symbols.push_back(text);
      return read && text.size() <= longest_piece;
    }
    if (field.id != normalizer && field.id != denormalizer) return true;
    return each_field(field.bytes, [](const MessageField& part) {
      return part.id != character_map || CharacterMap::is_safe(part.bytes);
    });
  });
  return sound && longest_chain(std::move(symbols)) <= most_nested;
}

}  // namespace batchscope
