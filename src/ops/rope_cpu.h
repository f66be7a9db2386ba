// The rotation itself, for the plain RoPE and the attention that it is fused into.
#pragma once

#include <cstdint>

#include "ops/element.h"

namespace batchscope {

// Rotates one head in place; cosine and sine are [half].
template <class T>
void rotate_head(T* head, const float* cosine, const float* sine, std::int64_t half) {
  for (std::int64_t i = 0; i < half; ++i) {
    const float low = load(head[i]);
    const float high = load(head[i + half]);
    store(head[i], low * cosine[i] - high * sine[i]);
    store(head[i + half], high * cosine[i] + low * sine[i]);
  }
}

}  // namespace batchscope
