// Rows of matrices in host memory: as floats, and as FP8 with a scale a row.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace batchscope {

// A row of f32, bf16 or f16 as floats.
void read_row(const HostMatrix& matrix, std::int64_t row, float* to);

struct Fp8Rows {
  std::vector<std::byte> values;
  std::vector<float> scales;  // one a row
  HostMatrix matrix;          // of `values`
};

// Columns [begin, begin + count) of every row, divided by the row's scale and rounded to nearest even. The scale is the whole
// row's largest magnitude / 448, so that every cut of a matrix gives the same values; not below the smallest
// normal f32. All values are finite.
Fp8Rows to_fp8(const HostMatrix& rows, std::int64_t column_begin, std::int64_t column_count);

}  // namespace batchscope
