// The text of a growing sequence of tokens, piece by piece, for people who read along.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/tokenizer.h"

namespace batchscope {

// Holds back what a later token may still change: an unfinished character, and bytes of a run that has not ended. All
// pieces together are what Tokenizer::decode makes of all tokens.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer);  // outlives it

  // The next piece, which may be empty.
  std::string add(std::span<const std::int32_t> tokens);
  // The last piece, once there are no more tokens.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  std::optional<std::int32_t> lone_byte_;  // a token that is no character of its own
  std::vector<std::int32_t> window_;       // the newest tokens: a few whose text is given out, and all later ones
  std::size_t given_ = 0;                  // bytes of the window's text that are given out
};

}  // namespace batchscope
