// LlamaTokenizer's ids from Debian's SentencePiece library (model/sentencepiece_tokenizer.h).
#include "model/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <exception>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "model/added_tokens.h"
#include "model/normalizer.h"
#include "model/sentencepiece_guard.h"
#include "model/unicode_text.h"

namespace batchscope {
namespace {

constexpr std::string_view sentence_space = "\u2581";  // SentencePiece writes a space so

using sentencepiece::SentencePieceProcessor;

bool loads(SentencePieceProcessor& processor, const std::string& model) {
  try {
    return is_safe_sentencepiece_model(model) && processor.LoadFromSerializedProto(model).ok() &&
           processor.GetPieceSize() > 0;
  } catch (const std::exception&) {  // from building its tries: a piece that holds a zero byte, for one
    return false;
  }
}

void load(SentencePieceProcessor& processor, const std::string& model, std::string_view origin) {
  if (!loads(processor, model))
    throw InputError("{}: not a SentencePiece model; download it again, or use a folder that has one", origin);
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view model, std::string_view origin, const TokenizerSettings& settings);

  std::vector<std::int32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const std::int32_t> tokens) const override;
  std::int64_t vocabulary() const override { return vocabulary_; }

 private:
  struct Special {
    std::string content;
    std::int32_t id = 0;
    bool skipped = true;  // when decoding
    bool strip_left = false, strip_right = false;
  };
  using Ids = std::vector<std::int32_t>;

  std::optional<std::int32_t> piece(const std::string& content) const;
  std::optional<std::int32_t> add_named(const std::optional<std::string>& content);
  void add(Special special);
  void encode_parts(std::string_view text, Ids& ids) const;
  void encode_plain(std::string_view text, Ids& ids) const;

  std::string origin_;
  SentencePieceProcessor processor_;
  SentencePieceProcessor continuing_;  // without the space that SentencePiece puts before a text; when not legacy
  bool legacy_;
  std::optional<std::int32_t> bos_, eos_;  // those that are added
  std::string unknown_;
  std::size_t unknown_tokens_ = 0;             // that continuing_ makes of it
  std::vector<Special> specials_;              // longest first
  TextTrie special_texts_;                     // leading to indices in specials_
  std::map<std::int32_t, std::size_t> by_id_;  // id -> index in specials_
  std::int64_t vocabulary_ = 0;
};

SentencePieceTokenizer::SentencePieceTokenizer(std::string_view model, std::string_view origin,
                                               const TokenizerSettings& settings)
    : origin_(origin), legacy_(settings.legacy) {
  const std::string content(model);
  load(processor_, content, origin);
  vocabulary_ = processor_.GetPieceSize();
  for (const AddedToken& token : settings.added) {
    const auto id = token.id ? token.id : piece(token.content);
    if (id) add({token.content, *id, token.special, token.strip_left, token.strip_right});
  }
  const auto bos = add_named(settings.bos);
  const auto eos = add_named(settings.eos);
  add_named(settings.unknown);
  if (settings.add_bos && !bos)
    throw InputError("{}: has no piece {} to begin texts with", origin, quote(*settings.bos));
  if (settings.add_eos && !eos) throw InputError("{}: has no piece {} to end texts with", origin, quote(*settings.eos));
  if (settings.add_bos) bos_ = bos;
  if (settings.add_eos) eos_ = eos;
  std::stable_sort(specials_.begin(), specials_.end(),
                   [](const Special& a, const Special& b) { return a.content.size() > b.content.size(); });
  for (std::size_t i = 0; i < specials_.size(); ++i) {
    by_id_.emplace(specials_[i].id, i);
    special_texts_.add(specials_[i].content, static_cast<std::int32_t>(i));
  }
  special_texts_.finish();
  if (legacy_) return;
  // Appending a message merges it: normalizer_spec (field 3) { add_dummy_prefix (field 3): false }.
  load(continuing_, content + std::string("\x1a\x02\x18\x00", 4), origin);
  unknown_ = settings.unknown.value_or("<unk>");
  Ids ids;
  (void)continuing_.Encode(unknown_, &ids);
  unknown_tokens_ = ids.size();
}

std::optional<std::int32_t> SentencePieceTokenizer::piece(const std::string& content) const {
  const int id = processor_.PieceToId(content);  // the unknown piece's id when there is none of that name
  if (id < 0 || id >= processor_.GetPieceSize() || processor_.IdToPiece(id) != content) return std::nullopt;
  return id;
}

std::optional<std::int32_t> SentencePieceTokenizer::add_named(const std::optional<std::string>& content) {
  if (!content) return std::nullopt;
  for (Special& known : specials_)
    if (known.content == *content) {
      known.skipped = true;
      return known.id;
    }
  const auto id = piece(*content);
  if (id) add({*content, *id});
  return id;
}

void SentencePieceTokenizer::add(Special special) {
  vocabulary_ = std::max<std::int64_t>(vocabulary_, special.id + 1);
  specials_.push_back(std::move(special));
}

std::vector<std::int32_t> SentencePieceTokenizer::encode(std::string_view text) const {
  if (text.size() > longest_text)  // the library counts bytes in int
    throw InputError("a text of {} bytes is too long to tokenise; the longest is {}", text.size(), longest_text);
  Ids ids;
  if (bos_) ids.push_back(*bos_);
  if (legacy_ || text.empty()) {
    encode_parts(text, ids);
  } else {
    std::string prefixed(text);
    replace_all(prefixed, sentence_space, " ");
    prefixed.insert(0, sentence_space);
    const std::size_t begin = ids.size();
    encode_parts(prefixed, ids);
    // A text that begins with a special token keeps no trace of the space put before it.
    const auto mark = piece(std::string(sentence_space));
    if (ids.size() > begin + 1 && ids[begin] == mark && by_id_.contains(ids[begin + 1]))
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(begin));
  }
  if (eos_) ids.push_back(*eos_);
  return ids;
}

// Cuts the text at the special tokens written out in it.
void SentencePieceTokenizer::encode_parts(std::string_view text, Ids& ids) const {
  std::size_t begin = 0;
  for (const TextTrie::Match& match : special_texts_.find_all(text)) {
    if (match.begin < begin) continue;
    const Special& special = specials_[static_cast<std::size_t>(match.value)];
    std::size_t end = match.begin;
    while (special.strip_left && end > begin && is_space(text[end - 1])) --end;
    encode_plain(text.substr(begin, end - begin), ids);
    ids.push_back(special.id);
    begin = match.end;
    while (special.strip_right && begin < text.size() && is_space(text[begin])) ++begin;
  }
  encode_plain(text.substr(begin), ids);
}

void SentencePieceTokenizer::encode_plain(std::string_view text, Ids& ids) const {
  if (text.empty()) return;
  const bool begins_with_space = text.starts_with(sentence_space) || text.starts_with(' ');
  Ids part;
  std::size_t skip = 0;
  bool ok = false;
  if (legacy_) {
    ok = processor_.Encode(text, &part).ok();
  } else if (!begins_with_space) {
    ok = continuing_.Encode(text, &part).ok();
  } else {  // so that SentencePiece does not strip the space: as LlamaTokenizer does it
    ok = continuing_.Encode(unknown_ + std::string(text), &part).ok();
    if (part.size() >= unknown_tokens_) skip = unknown_tokens_;
  }
  if (!ok) throw InputError("{}: cannot tokenise {}", origin_, quote(text));
  ids.insert(ids.end(), part.begin() + static_cast<std::ptrdiff_t>(skip), part.end());
}

std::string SentencePieceTokenizer::decode(std::span<const std::int32_t> tokens) const {
  std::string text;
  Ids pending;
  const auto flush = [&] {
    std::string part;
    if (!pending.empty() && !processor_.Decode(pending, &part).ok())
      throw InputError("{}: cannot turn token ids into text", origin_);
    text += part;
    pending.clear();
  };
  for (const std::int32_t token : tokens) {
    const auto special = by_id_.find(token);
    if (special != by_id_.end()) {
      if (specials_[special->second].skipped) continue;
      flush();
      text += specials_[special->second].content;
    } else if (token < 0 || token >= processor_.GetPieceSize()) {  // a model may have more rows than pieces
      flush();
      text += "\ufffd";
    } else if (!processor_.IsControl(token)) {
      pending.push_back(token);
    }
  }
  flush();
  return text;
}

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model, std::string_view origin,
                                                        const TokenizerSettings& settings) {
  return std::make_unique<SentencePieceTokenizer>(model, origin, settings);
}

}  // namespace batchscope
