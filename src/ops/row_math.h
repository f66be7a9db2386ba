// Loops over one row of floats that the CPU kernels spend their time in, compiled once per instruction set. Rows of
// other dtypes are widened into a buffer first (float_row) and rounded when they are written back.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "ops/element.h"

namespace batchscope {

// Largest element; -infinity for an empty row.
float row_largest(const float* row, std::int64_t count);
bool row_has_nan(const float* row, std::int64_t count);
float row_sum_squares(const float* row, std::int64_t count);
// Sum of exp(x - shift).
float row_sum_exp(const float* row, std::int64_t count, float shift);
// x = exp(x - shift); returns their sum
float row_exp(float* row, std::int64_t count, float shift);
// x = x * sigmoid(x)
void row_silu(float* row, std::int64_t count);
// out = gate * sigmoid(gate) * up; out may be gate
void row_swiglu(const float* gate, const float* up, float* out, std::int64_t count);
// x += y, x *= y, x = max(x, y)
void row_add(float* x, const float* y, std::int64_t count);
void row_multiply(float* x, const float* y, std::int64_t count);
void row_maximum(float* x, const float* y, std::int64_t count);
// x *= factor
void row_scale(float* x, std::int64_t count, float factor);
// One head [2 * half] in place: RoPE by the angles' cosine and sine, [half] each.
void row_rotate(float* head, const float* cosine, const float* sine, std::int64_t half);

void row_widen(const BFloat16* from, float* to, std::int64_t count);
void row_widen(const Float8* from, float* to, std::int64_t count);
void row_narrow(const float* from, BFloat16* to, std::int64_t count);  // to nearest even

// The floats of a row that will be written, whatever they are now: itself, or one of the calling thread's buffers, which
// the next row in that buffer replaces.
template <int buffer, class T>
auto output_row(T* row, [[maybe_unused]] std::int64_t count) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, float>) {
    return row;
  } else {
    thread_local std::vector<float> wide;
    if (std::ssize(wide) < count) wide.resize(static_cast<std::size_t>(count));
    return wide.data();
  }
}

// A row as floats: itself, or widened into a buffer.
template <int buffer, class T>
auto float_row(T* row, std::int64_t count) {
  auto floats = output_row<buffer>(row, count);
  if constexpr (!std::is_same_v<std::remove_const_t<T>, float>) row_widen(row, floats, count);
  return floats;
}

// Writes a row of float_row() back, rounded to its dtype.
template <class T>
void store_row([[maybe_unused]] const float* from, [[maybe_unused]] T* row, [[maybe_unused]] std::int64_t count) {
  if constexpr (!std::is_same_v<T, float>) row_narrow(from, row, count);
}

// Every element rounded to T, as a row of that dtype would hold it.
template <class T>
void round_row(float* row, std::int64_t count) {
  if constexpr (!std::is_same_v<T, float>) {
    thread_local std::vector<T> narrow;
    if (std::ssize(narrow) < count) narrow.resize(static_cast<std::size_t>(count));
    row_narrow(row, narrow.data(), count);
    row_widen(narrow.data(), row, count);
  }
}

}  // namespace batchscope
