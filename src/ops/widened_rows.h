// Weights and keys that are kept narrower than what is computed in: their rows as a kernel computes with them, made where it
// reads them.
#pragma once

#include <cstdint>

#include "device/cpu/kernels.h"
#include "tensor/weight.h"

namespace batchscope {

// Whether a product in `compute` has to widen what is kept so.
inline bool is_widened(DType kept, DType compute) {
  return kept == DType::fp8 || (kept == DType::bf16 && compute == DType::f32);
}

// A row in floats, whether it lies in rows or in panels, with or without scales.
void widen_row(const Weight& matrix, std::int64_t row, float* to);

// Rows [begin, begin + count) as a matrix of `compute` at `place`, which has count * columns of them. Rounds where scales
// make a value that `compute` does not have.
Tensor widen_rows(const CpuContext& context, const Weight& matrix, std::int64_t begin, std::int64_t count, DType compute,
                  std::byte* place);

}  // namespace batchscope
