// Rotary position embedding (Su et al. 2021), in the form of Hugging Face's checkpoints: element i of a head is
// rotated with element i + head_dim / 2.
#pragma once

#include "device/device.h"

namespace batchscope {

// cos and sin of position * inverse_frequency, times `factor`; once a batch for all layers.
struct RopeTable {
  Tensor positions;            // [1, tokens] i32
  Tensor inverse_frequencies;  // [1, head_dim / 2] f32
  float factor;                // 1, or RopeScaling's attention_factor
  Tensor cosine, sine;         // [tokens, head_dim / 2] f32
};
void rope_table(Device& device, const Tensor& positions, const Tensor& inverse_frequencies, float factor,
                const Tensor& cosine, const Tensor& sine);

// Rotates every head of x in place.
struct Rope {
  Tensor x;             // [tokens, heads * head_dim]
  Tensor cosine, sine;  // [tokens, head_dim / 2] f32
};
void rope(Device& device, const Tensor& x, const Tensor& cosine, const Tensor& sine);

}  // namespace batchscope
