// Runs normaliser, pre-tokeniser, model and post-processor of a tokenizer.json.
#include "model/pipeline_tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "model/unicode_text.h"

namespace batchscope {
namespace {

class PipelineTokenizer : public Tokenizer {
 public:
  PipelineTokenizer(PipelineModel model, std::string_view origin);

  std::vector<std::int32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const std::int32_t> tokens) const override;
  std::int64_t vocabulary() const override { return vocabulary_; }
  std::optional<std::int32_t> prefix() const override;

 private:
  [[noreturn]] void refuse_made() const;
  std::vector<std::int32_t> encode_whole(std::string_view text) const;
  void encode_raw(std::string_view text, bool at_start, std::vector<std::int32_t>& ids) const;
  void encode_normalized(TextPart part, std::vector<std::int32_t>& ids) const;

  std::string origin_;
  PipelineModel model_;
  Bpe bpe_;
  AddedTokens added_;
  std::vector<std::string_view> tokens_;  // by id, in the vocabulary of bpe_; "" where there is none
  std::int64_t vocabulary_ = 0;
};

PipelineTokenizer::PipelineTokenizer(PipelineModel model, std::string_view origin)
    : origin_(origin), model_(std::move(model)), bpe_(std::move(model_.bpe), origin) {
  for (const AddedToken& token : model_.added) added_.add(token, bpe_.vocabulary());
  try {
    added_.finish(model_.normalizers, origin);
  } catch (const MadeTooLong&) {
    refuse_made();
  }
  for (const auto& [token, id] : bpe_.vocabulary()) {
    if (tokens_.size() <= static_cast<std::size_t>(id)) tokens_.resize(static_cast<std::size_t>(id) + 1);
    tokens_[static_cast<std::size_t>(id)] = token;
  }
  vocabulary_ = std::max<std::int64_t>(static_cast<std::int64_t>(tokens_.size()), added_.largest_id() + 1);
  for (const auto* ids : {&model_.before, &model_.behind})
    for (const std::int32_t id : *ids)
      if (id < 0 || id >= vocabulary_)
        throw InputError("{}: texts should begin or end with the token {}, but there are only {}", origin, id,
                         vocabulary_);
}

std::vector<std::int32_t> PipelineTokenizer::encode(std::string_view text) const {
  if (text.size() > longest_text)
    throw InputError("a text of {} bytes is too long to tokenise; the longest is {}", text.size(), longest_text);
  try {
    return encode_whole(text);
  } catch (const MadeTooLong&) {
    refuse_made();
  }
}

void PipelineTokenizer::refuse_made() const {
  throw InputError("{}: its steps make a text more than 64 times as long; download it again, or use another", origin_);
}

std::vector<std::int32_t> PipelineTokenizer::encode_whole(std::string_view text) const {
  const std::string whole = well_formed(text);
  std::vector<std::int32_t> ids = model_.before;
  std::vector<TokenSpan> spans;
  added_.find_raw(whole, spans);
  for (const TokenSpan& each : spans) {
    if (each.id) {
      ids.push_back(*each.id);
    } else {
      encode_raw(std::string_view(whole).substr(each.span.begin, each.span.end - each.span.begin), each.span.begin == 0,
                 ids);
    }
  }
  ids.insert(ids.end(), model_.behind.begin(), model_.behind.end());
  return ids;
}

std::optional<std::int32_t> PipelineTokenizer::prefix() const {
  for (const std::string& token : model_.prefixes) {
    if (const auto id = added_.id_of(token)) return id;
    if (const auto id = bpe_.vocabulary().find(token); id != bpe_.vocabulary().end()) return id->second;
  }
  return std::nullopt;
}

void PipelineTokenizer::encode_raw(std::string_view text, bool at_start, std::vector<std::int32_t>& ids) const {
  TextPart part{std::string(text), at_start};
  normalize(model_.normalizers, part);
  std::vector<TokenSpan> spans;
  added_.find_normalized(part.text, spans);
  for (const TokenSpan& each : spans) {
    if (each.id) {
      ids.push_back(*each.id);
    } else {
      encode_normalized({part.text.substr(each.span.begin, each.span.end - each.span.begin),
                         part.at_start && each.span.begin == 0, part.most},
                        ids);
    }
  }
}

void PipelineTokenizer::encode_normalized(TextPart part, std::vector<std::int32_t>& ids) const {
  const Words words = pre_tokenize(model_.pre_tokenizers, std::move(part));
  for (const Span& word : words.words)
    bpe_.encode(std::string_view(words.part.text).substr(word.begin, word.end - word.begin), ids);
}

std::string PipelineTokenizer::decode(std::span<const std::int32_t> tokens) const {
  std::vector<std::string> texts;
  for (const std::int32_t id : tokens) {
    const auto index = static_cast<std::size_t>(id);
    if (const std::string* added = added_.text_of(id)) {
      if (!added->empty()) texts.push_back(*added);
    } else if (id >= 0 && index < tokens_.size() && !tokens_[index].empty()) {
      texts.emplace_back(tokens_[index]);
    } else {  // a model may have more rows than its tokenizer has tokens
      texts.emplace_back("\ufffd");
    }
  }
  try {
    if (model_.decoders) return decode_tokens(*model_.decoders, std::move(texts));
  } catch (const MadeTooLong&) {
    refuse_made();
  }
  std::string text;
  for (const std::string& each : texts) text += (&each == texts.data() ? "" : " ") + each;
  return text;
}

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline_tokenizer(PipelineModel model, std::string_view origin) {
  return std::make_unique<PipelineTokenizer>(std::move(model), origin);
}

}  // namespace batchscope
