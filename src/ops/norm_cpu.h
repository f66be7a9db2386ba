// RMSNorm of one row of floats, for the plain norm and the ops that it is fused into.
#pragma once

#include <cmath>
#include <cstdint>

#include "ops/row_math.h"

namespace batchscope {

// Normalises the row in place; T is the dtype that its elements are rounded to before the weights scale them. The result
// is not rounded.
template <class T>
void norm_row(float* row, const T* weight, float epsilon, std::int64_t width) {
  const float mean_square = row_sum_squares(row, width) / static_cast<float>(width);
  row_scale(row, width, 1.0f / std::sqrt(mean_square + epsilon));
  round_row<T>(row, width);
  row_multiply(row, float_row<3>(weight, width), width);
}

}  // namespace batchscope
