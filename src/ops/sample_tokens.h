// Drawing the next token of each row from softmax(logits / temperature), cut to the nucleus: the fewest most probable
// tokens that together have `top_p` of the probability (Holtzman et al. 2020); of equally probable ones the first.
#pragma once

#include <cstdint>
#include <span>

#include "device/device.h"

namespace batchscope {

struct TokenDraw {
  double temperature = 0;  // >= 0; 0: the largest logit, the first of equal ones
  double top_p = 1;        // 0 < top_p <= 1
  double uniform = 0;      // 0 <= uniform < 1: where the draw falls, with the kept tokens in the order of their ids
};

// The token of one row, in time linear in the vocabulary. A logit that is no number is never drawn; where no logit is
// finite the answer is that of temperature 0.
std::int32_t sample_token(std::span<const float> logits, const TokenDraw& draw);

// A draw as devices read it: its bytes, in words of an i32 tensor.
inline constexpr std::int64_t draw_words = sizeof(TokenDraw) / sizeof(std::int32_t);

struct SampleTokens {
  Tensor logits;            // [parts * rows, widest part]: each part of the vocabulary has all rows
  std::int64_t vocabulary;  // cut into parts as evenly as it goes, the wider ones first
  Tensor draws;             // [rows, draw_words] i32
  Tensor out;               // [1, rows] i32, in the whole vocabulary; -1 where a logit is NaN
  std::int64_t parts() const { return logits.rows / out.columns; }
  std::int64_t width(std::int64_t part) const { return vocabulary / parts() + (part < vocabulary % parts() ? 1 : 0); }
};
void sample_tokens(Device& device, const Tensor& logits, std::int64_t vocabulary, const Tensor& draws,
                   const Tensor& out);

}  // namespace batchscope
