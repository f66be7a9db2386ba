// A tokenizer as a pipeline, whatever file describes it: added tokens, normalisation, words, BPE, begin and end.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/added_tokens.h"
#include "model/bpe.h"
#include "model/normalizer.h"
#include "model/pre_tokenizer.h"
#include "model/token_decoder.h"
#include "model/tokenizer.h"

namespace batchscope {

struct PipelineModel {
  std::vector<Normalizer> normalizers;
  std::vector<PreTokenizer> pre_tokenizers;
  BpeModel bpe;
  std::vector<AddedToken> added;             // in the order in which they are added; their ids are not looked at
  std::vector<std::int32_t> before, behind;  // every text
  std::vector<std::string> prefixes;         // of Tokenizer::prefix(): BOS, EOS, those that there are
  std::optional<std::vector<TokenDecoder>> decoders;  // absent: tokens are joined by spaces
};

// InputError, which begins with `origin`, for parts that do not fit together.
std::unique_ptr<Tokenizer> make_pipeline_tokenizer(PipelineModel model, std::string_view origin);

}  // namespace batchscope
