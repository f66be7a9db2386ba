// Merges pairs of symbols, the best-ranked first.
#include "model/bpe.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <queue>
#include <tuple>

#include "base/error.h"
#include "base/json.h"
#include "model/unicode_text.h"

namespace batchscope {
namespace {

constexpr std::string_view space_mark = "\u2581";  // SentencePiece writes a space so
constexpr std::size_t short_word = 48;             // up to here scanning all pairs is faster than a queue
constexpr std::size_t longest_piece = 4096;        // a piece has as many splits as characters
constexpr std::uint32_t no_rank = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t no_key = std::numeric_limits<std::uint64_t>::max();

std::uint64_t key_of(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> merges_of_pieces(const std::vector<std::string>& pieces,
                                                                  const std::vector<float>& scores,
                                                                  std::string_view origin) {
  Vocabulary known;
  for (const std::string& piece : pieces) known.emplace(piece, 0);
  struct Split {
    float score;
    std::size_t piece, left, right;  // the two sizes in code points
    std::size_t cut;                 // in bytes
  };
  std::vector<Split> splits;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::string_view piece = pieces[i];
    if (piece.size() > longest_piece) throw InputError("{}: a piece of {} bytes is too long", origin, piece.size());
    const std::size_t length = code_points(piece);
    std::size_t left = 1;
    for (std::size_t cut = 1; cut < piece.size(); ++cut) {
      if ((static_cast<unsigned char>(piece[cut]) & 0xc0) == 0x80) continue;
      if (known.contains(piece.substr(0, cut)) && known.contains(piece.substr(cut)))
        splits.push_back({scores.empty() ? 0 : scores[i], i, left, length - left, cut});
      ++left;
    }
  }
  // transformers sorts by (id, left, right) upwards, by (score, left, right) downwards: ties keep the pieces' order.
  const auto by_id = [](const Split& a, const Split& b) {
    return std::tie(a.piece, a.left, a.right) < std::tie(b.piece, b.left, b.right);
  };
  const auto by_score = [](const Split& a, const Split& b) {
    return std::tie(a.score, a.left, a.right) > std::tie(b.score, b.left, b.right);
  };
  if (scores.empty()) {
    std::stable_sort(splits.begin(), splits.end(), by_id);
  } else {
    std::stable_sort(splits.begin(), splits.end(), by_score);
  }
  std::vector<std::pair<std::string, std::string>> merges;
  merges.reserve(splits.size());
  for (const Split& split : splits)
    merges.emplace_back(pieces[split.piece].substr(0, split.cut), pieces[split.piece].substr(split.cut));
  return merges;
}

// At most half of the slots are used, so looking for a pair that is not there ends soon.
Bpe::MergeTable::MergeTable(std::size_t merges)
    : slots_(std::bit_ceil(2 * merges + 2), Slot{no_key, {}}), shift_(64 - std::countr_zero(slots_.size())) {}

std::size_t Bpe::MergeTable::slot_of(std::uint64_t key) const {
  return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15u) >> shift_);
}

void Bpe::MergeTable::put(std::int32_t left, std::int32_t right, Merge merge) {
  const std::uint64_t key = key_of(left, right);
  std::size_t slot = slot_of(key);
  while (slots_[slot].key != no_key && slots_[slot].key != key) slot = (slot + 1) & (slots_.size() - 1);
  slots_[slot] = {key, merge};
}

const Bpe::Merge* Bpe::MergeTable::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t key = key_of(left, right);
  for (std::size_t slot = slot_of(key);; slot = (slot + 1) & (slots_.size() - 1)) {
    if (slots_[slot].key == key) return &slots_[slot].merge;
    if (slots_[slot].key == no_key) return nullptr;
  }
}

Bpe::Bpe(BpeModel model, std::string_view origin)
    : model_(std::move(model)), origin_(origin), merges_(model_.merges.size()), short_characters_(0x800, -1) {
  const auto need = [&](std::string_view token) {
    const auto id = id_of(token);
    if (!id) throw InputError("{}: a merge needs the token {}, which the vocabulary lacks", origin_, quote(token));
    return *id;
  };
  std::uint32_t rank = 0;
  for (const auto& [left, right] : model_.merges) {
    const std::int32_t left_id = need(left), right_id = need(right);
    merges_.put(left_id, right_id, {.rank = rank++, .id = need(left + right)});
  }
  for (char32_t c = 0; c < short_characters_.size(); ++c) {
    std::string character;
    append_code_point(c, character);
    short_characters_[c] = id_of(character).value_or(-1);
  }
  for (int byte = 0; model_.byte_fallback && byte < 256; ++byte)
    bytes_.push_back(id_of(fmt::format("<0x{:02X}>", byte)).value_or(-1));
  if (model_.unknown) unknown_ = id_of(*model_.unknown);
  cut_at_mark_ = words_begin_with_mark();
  model_.merges = {};
}

std::optional<std::int32_t> Bpe::id_of(std::string_view token) const {
  const auto found = model_.vocabulary.find(token);
  return found == model_.vocabulary.end() ? std::nullopt : std::optional(found->second);
}

// Whether the mark stands in merged tokens only where they begin, or where they are all marks.
bool Bpe::words_begin_with_mark() const {
  if (!model_.vocabulary.contains(space_mark)) return false;
  return std::none_of(model_.merges.begin(), model_.merges.end(), [](const auto& merge) {
    const std::string token = merge.first + merge.second;
    const std::size_t last = token.rfind(space_mark);
    if (last == std::string::npos) return false;
    for (std::size_t at = 0; at < last; at += space_mark.size())
      if (token.compare(at, space_mark.size(), space_mark) != 0) return true;
    return false;
  });
}

std::int32_t Bpe::id_of_character(std::string_view character) const {
  if (character.size() <= 2) return short_characters_[code_point_at(character, 0).value];
  return id_of(character).value_or(-1);
}

void Bpe::append_characters(std::string_view word, std::vector<std::int32_t>& ids) const {
  bool pending = false;  // an unknown token is written when what follows it is known
  for (std::size_t at = 0; at < word.size();) {
    const std::string_view character = word.substr(at, code_point_at(word, at).bytes);
    at += character.size();
    const std::int32_t id = id_of_character(character);
    if (id >= 0) {
      if (pending) ids.push_back(*unknown_);
      pending = false;
      ids.push_back(id);
      continue;
    }
    const auto byte_id = [&](char c) { return bytes_[static_cast<unsigned char>(c)]; };
    if (!bytes_.empty() && std::all_of(character.begin(), character.end(), [&](char c) { return byte_id(c) >= 0; })) {
      for (const char c : character) ids.push_back(byte_id(c));
      continue;
    }
    if (!model_.unknown) continue;  // such a character leaves no trace
    if (!unknown_)
      throw InputError("{}: {} is not in the vocabulary, and neither is the token for unknown text, {}", origin_,
                       quote(character), quote(*model_.unknown));
    if (pending && !model_.fuse_unknown) ids.push_back(*unknown_);
    pending = true;
  }
  if (pending) ids.push_back(*unknown_);
}

// Looks for the pair to be merged next among all that are left.
void Bpe::merge_short(std::vector<std::int32_t>& ids, std::size_t begin) const {
  std::size_t count = ids.size() - begin;
  std::int32_t* id = ids.data() + begin;
  Merge pairs[short_word];  // of the symbol and the next one
  const auto look_up = [&](std::size_t i) {
    const Merge* merge = merges_.find(id[i], id[i + 1]);
    pairs[i] = merge == nullptr ? Merge{no_rank, 0} : *merge;
  };
  for (std::size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i)
      if (pairs[i].rank < pairs[best].rank) best = i;
    if (pairs[best].rank == no_rank) break;
    id[best] = pairs[best].id;
    std::copy(id + best + 2, id + count, id + best + 1);
    if (best + 2 < count) std::copy(pairs + best + 2, pairs + count - 1, pairs + best + 1);
    --count;
    if (best > 0) look_up(best - 1);
    if (best + 1 < count) look_up(best);
  }
  ids.resize(begin + count);
}

// A queue of possible merges over a linked list of symbols.
void Bpe::merge_long(std::vector<std::int32_t>& ids, std::size_t begin) const {
  struct Symbol {
    std::int32_t id;
    std::ptrdiff_t previous, next;  // -1: none
  };
  struct Candidate {
    Merge merge;
    std::ptrdiff_t at;
    bool operator<(const Candidate& other) const {  // the greatest leaves the queue first
      return std::tie(merge.rank, at) > std::tie(other.merge.rank, other.at);
    }
  };
  const auto count = static_cast<std::ptrdiff_t>(ids.size() - begin);
  std::vector<Symbol> symbols;
  symbols.reserve(static_cast<std::size_t>(count));
  for (std::ptrdiff_t i = 0; i < count; ++i)
    symbols.push_back({ids[begin + static_cast<std::size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});
  const auto symbol = [&](std::ptrdiff_t at) -> Symbol& { return symbols[static_cast<std::size_t>(at)]; };
  std::priority_queue<Candidate> queue;
  const auto look_up = [&](std::ptrdiff_t at) {
    if (at < 0 || symbol(at).next < 0) return;
    if (const Merge* merge = merges_.find(symbol(at).id, symbol(symbol(at).next).id)) queue.push({*merge, at});
  };
  for (std::ptrdiff_t i = 0; i < count; ++i) look_up(i);
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Symbol& left = symbol(top.at);
    if (left.id < 0 || left.next < 0) continue;  // merged away, or at the end
    Symbol& right = symbol(left.next);
    const Merge* merge = merges_.find(left.id, right.id);
    if (merge == nullptr || merge->id != top.merge.id) continue;  // one of the two has changed
    left.id = merge->id;
    right.id = -1;
    left.next = right.next;
    if (right.next >= 0) symbol(right.next).previous = top.at;
    look_up(left.previous);
    look_up(top.at);
  }
  ids.resize(begin);
  for (std::ptrdiff_t at = 0; at >= 0; at = symbol(at).next) ids.push_back(symbol(at).id);
}

void Bpe::encode_part(std::string_view word, std::vector<std::int32_t>& ids) const {
  const std::size_t begin = ids.size();
  append_characters(word, ids);
  const std::size_t count = ids.size() - begin;
  if (count < 2) return;
  if (count <= short_word) {
    merge_short(ids, begin);
  } else {
    merge_long(ids, begin);
  }
}

void Bpe::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (model_.ignore_merges) {
    if (const auto id = id_of(word)) {
      ids.push_back(*id);
      return;
    }
  }
  std::size_t begin = 0;
  if (cut_at_mark_) {
    for (std::size_t at = word.find(space_mark, 1); at != std::string_view::npos; at = word.find(space_mark, at + 1)) {
      if (word.substr(0, at).ends_with(space_mark)) continue;
      encode_part(word.substr(begin, at - begin), ids);
      begin = at;
    }
  }
  encode_part(word.substr(begin), ids);
}

}  // namespace batchscope
