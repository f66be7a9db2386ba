// LlamaTokenizer, GPT2Tokenizer, Qwen2Tokenizer as of transformers 5 (model/tokenizer_families.h).
#include "model/tokenizer_families.h"

#include <utility>

#include "model/tokenizer_json.h"

namespace batchscope {

const std::string_view qwen2_words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+)"
    R"(|\s+(?!\S)|\s+)";
const std::string_view llama3_words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+)"
    R"(|\s+(?!\S)|\s+)";

namespace {

// What is learned stays; how it is used is the class's.
void reset(PipelineModel& model) {
  model.normalizers.clear();
  model.pre_tokenizers.clear();
  model.decoders.emplace();
  model.bpe.unknown.reset();
  model.bpe.fuse_unknown = model.bpe.byte_fallback = model.bpe.ignore_merges = false;
}

}  // namespace

void make_llama(PipelineModel& model, const LlamaSettings& settings) {
  reset(model);
  model.bpe.fuse_unknown = model.bpe.byte_fallback = true;
  const std::string mark = "\u2581";
  model.pre_tokenizers.emplace_back(MarkSpaces{mark, !settings.add_prefix_space ? MarkFirst::never
                                                     : settings.legacy          ? MarkFirst::always
                                                                                : MarkFirst::first});
  model.decoders->emplace_back(ReplaceText{TextPattern(mark), " "});
  model.decoders->emplace_back(ReadFallbackBytes{});
  model.decoders->emplace_back(FuseTokens{});
  if (settings.add_prefix_space) model.decoders->emplace_back(StripCharacters{" ", 1, 0});
}

void set_byte_level(PipelineModel& model, std::string_view pattern, bool add_prefix_space) {
  if (add_prefix_space) model.pre_tokenizers.emplace_back(PrependSpace{});
  model.pre_tokenizers.emplace_back(SplitWords{TextPattern(RegularExpression(pattern, "tokenizer"))});
  model.pre_tokenizers.emplace_back(WriteBytes{});
  model.decoders->emplace_back(ReadByteCharacters{});
}

void make_gpt2(PipelineModel& model, bool add_prefix_space) {
  reset(model);
  set_byte_level(model, gpt2_words, add_prefix_space);
}

void make_qwen2(PipelineModel& model, bool add_prefix_space) {
  reset(model);
  model.normalizers.emplace_back(UnicodeForm::nfc);
  model.pre_tokenizers.emplace_back(SplitWords{TextPattern(RegularExpression(qwen2_words, "tokenizer"))});
  if (add_prefix_space) model.pre_tokenizers.emplace_back(PrependSpace{});
  model.pre_tokenizers.emplace_back(WriteBytes{});
  model.decoders->emplace_back(ReadByteCharacters{});
}

}  // namespace batchscope
