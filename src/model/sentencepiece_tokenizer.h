// SentencePiece models with the special tokens of LlamaTokenizer, from memory: open_tokenizer() reads the files.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace batchscope {

// A token that is cut out of the text before SentencePiece sees it.
struct AddedToken {
  std::string content;
  std::optional<std::int32_t> id;  // absent: the piece of that name
  bool special = true;             // left out when decoding
  bool strip_left = false;         // takes the white space before it
  bool strip_right = false;        // … behind it
};

// tokenizer_config.json, as far as it changes ids.
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

// InputError, which names `origin`, for kinds of tokenizer that give other ids than LlamaTokenizer.
TokenizerSettings parse_tokenizer_config(std::string_view json, std::string_view origin);

// `model` is the content of a tokenizer.model, named by `origin` in errors.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model, std::string_view origin,
                                                        const TokenizerSettings& settings);

}  // namespace batchscope
