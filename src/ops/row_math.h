// Loops over one row of floats that the CPU kernels spend their time in, compiled once per instruction set. Rows of
// other dtypes are widened first (with_float_row).
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "ops/element.h"

namespace batchscope {

// Largest element; -infinity for an empty row.
float row_largest(const float* row, std::int64_t count);
// Sum of exp(x - shift).
float row_sum_exp(const float* row, std::int64_t count, float shift);
// x = exp(x - shift) * factor
void row_exp(float* row, std::int64_t count, float shift, float factor);
// x = x * sigmoid(x)
void row_silu(float* row, std::int64_t count);

// Calls body(float*) with the row as floats, and writes back what it changed.
template <class T, class Body>
void with_float_row(T* row, std::int64_t count, const Body& body) {
  if constexpr (std::is_same_v<T, float>) {
    body(row);
  } else {
    thread_local std::vector<float> wide;
    wide.resize(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) wide[static_cast<std::size_t>(i)] = load(row[i]);
    body(wide.data());
    if constexpr (!std::is_const_v<T>)
      for (std::int64_t i = 0; i < count; ++i) store(row[i], wide[static_cast<std::size_t>(i)]);
  }
}

}  // namespace batchscope
