// RMSNorm of one row, for the plain norm and the ops that it is fused into.
#pragma once

#include <cmath>
#include <cstdint>

#include "ops/element.h"

namespace batchscope {

// Adds y (if any) to x, then normalises the row into out, which may be x.
template <class T, class Weight>
void norm_row(T* x, const T* y, const Weight* weight, float epsilon, T* out, std::int64_t width) {
  float squares = 0;
  for (std::int64_t i = 0; i < width; ++i) {
    if (y != nullptr) store(x[i], load(x[i]) + load(y[i]));
    squares += load(x[i]) * load(x[i]);
  }
  const float scale = 1.0f / std::sqrt(squares / static_cast<float>(width) + epsilon);
  for (std::int64_t i = 0; i < width; ++i) {
    T normed;
    store(normed, load(x[i]) * scale);
    store(out[i], load(normed) * load(weight[i]));
  }
}

}  // namespace batchscope
