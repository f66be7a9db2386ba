// From tokens back to text: the decoders of tokenizer.json.
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "model/normalizer.h"

namespace batchscope {

struct FuseTokens {};          // into one
struct ReadFallbackBytes {};   // runs of "<0x00>" to "<0xFF>" as UTF-8; each one U+FFFD where they are none
struct ReadByteCharacters {};  // all tokens as one text of byte-level BPE's characters
struct StripCharacters {       // from both ends of each token
  std::string character;
  std::size_t left = 0, right = 0;  // at most
};
struct ReadMarks {  // marks become spaces; those of the first token go
  std::string mark;
  bool drop_first = true;
};
using TokenDecoder =
    std::variant<ReplaceText, FuseTokens, ReadFallbackBytes, ReadByteCharacters, StripCharacters, ReadMarks>;

std::string decode_tokens(const std::vector<TokenDecoder>& steps, std::vector<std::string> tokens);

}  // namespace batchscope
