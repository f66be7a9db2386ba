// SentencePiece models that are no BPE, with the special tokens of LlamaTokenizer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/added_tokens.h"
#include "model/tokenizer.h"

namespace batchscope {

// What the files beside the model decide.
struct TokenizerSettings {
  bool add_bos = true;
  bool add_eos = false;
  // Text behind a special token begins like a new text ("▁b"), as in the first LlamaTokenizer; else it goes on as it
  // is.
  bool legacy = true;
  std::optional<std::string> bos = "<s>";
  std::optional<std::string> eos = "</s>";
  std::optional<std::string> unknown = "<unk>";
  std::vector<AddedToken> added;
};

// `model` is the content of a tokenizer.model, named by `origin` in errors.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model, std::string_view origin,
                                                        const TokenizerSettings& settings);

}  // namespace batchscope
