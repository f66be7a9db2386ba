// Reading and quantising rows (tensor/host_rows.h), in loops that compilers vectorise.
#include "tensor/host_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/target_clones.h"

namespace batchscope {
namespace {

template <class T>
void read_floats(const std::byte* from, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, from + i * static_cast<std::int64_t>(sizeof value), sizeof value);  // may be unaligned
    to[i] = static_cast<float>(value);
  }
}

BATCHSCOPE_TARGET_CLONES
float largest_magnitude(const float* row, std::int64_t count) {
  float largest = 0;
  for (std::int64_t i = 0; i < count; ++i) largest = std::fabs(row[i]) > largest ? std::fabs(row[i]) : largest;
  return largest;
}

BATCHSCOPE_TARGET_CLONES
void divide_and_round(const float* row, std::int64_t count, float scale, Float8* to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = Float8(row[i] / scale);
}

}  // namespace

void read_row(const HostMatrix& matrix, std::int64_t row, float* to) {
  const std::byte* from = matrix.data + row * matrix.stride * size_of(matrix.dtype);
  if (matrix.dtype == DType::f32) return read_floats<float>(from, matrix.columns, to);
  if (matrix.dtype == DType::bf16) return read_floats<BFloat16>(from, matrix.columns, to);
  CHECK_THAT(matrix.dtype == DType::f16, "{} is not read as floats", name_of(matrix.dtype));
  read_floats<Float16>(from, matrix.columns, to);
}

Fp8Rows to_fp8(const HostMatrix& rows, std::int64_t column_begin, std::int64_t column_count) {
  CHECK_THAT(column_begin >= 0 && column_count >= 0 && column_begin + column_count <= rows.columns,
             "columns [{}, +{}) of {}", column_begin, column_count, rows.columns);
  Fp8Rows out;
  out.values.resize(static_cast<std::size_t>(rows.rows * column_count));
  out.scales.resize(static_cast<std::size_t>(rows.rows));
  std::vector<float> row(static_cast<std::size_t>(rows.columns));
  auto* values = reinterpret_cast<Float8*>(out.values.data());
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    read_row(rows, i, row.data());
    // A scale that is subnormal would lose bits itself.
    const float scale = std::max(largest_magnitude(row.data(), rows.columns) / Float8::largest, 0x1p-126f);
    out.scales[static_cast<std::size_t>(i)] = scale;
    divide_and_round(row.data() + column_begin, column_count, scale, values + i * column_count);
  }
  out.matrix = {out.values.data(), DType::fp8, rows.rows, column_count, column_count};
  return out;
}

}  // namespace batchscope
