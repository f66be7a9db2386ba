// Heads normed and rotated in place, or on the way to their rows of a cache. Whoever norms or rotates heads on a GPU
// should do it here: then all forms agree to the bit.
#pragma once

#include <cstdint>

#include "device/cuda/context.h"
#include "ops/attention.h"

namespace batchscope {

// Counters of a later kernel that are to be zero.
struct CountersToClear {
  std::int32_t* first = nullptr;
  std::int64_t count = 0;
};
// The new keys, normed and rotated, and the new values to their rows of k and v.
void place_keys(const CudaContext& context, const RopeAttention& op, const CountersToClear& counters);

// Every head of x, [tokens, heads * head_dim], in place: the norm, where there is a weight, then the rotation, where
// there are angles. HeadRmsNorm is the one and Rope the other.
struct HeadTurn {
  Tensor weight;  // [1, head_dim]; nothing: no norm
  float epsilon = 0;
  Tensor cosine, sine;  // [tokens, head_dim / 2] f32; nothing: no rotation
};
void turn_heads(const CudaContext& context, const Tensor& x, std::int64_t head_dim, const HeadTurn& turn);

}  // namespace batchscope
