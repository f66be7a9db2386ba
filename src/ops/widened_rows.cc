// Widens rows of bf16 and fp8.
#include "ops/widened_rows.h"

#include <algorithm>

#include "device/cpu/parallel_for.h"
#include "ops/row_math.h"

namespace batchscope {
namespace {

template <class T>
void widen_unscaled(const Tensor& matrix, std::int64_t row, float* to) {
  const auto* from = reinterpret_cast<const T*>(matrix.data) + matrix.offset(row, 0);
  if (matrix.panel == 0) return row_widen(from, to, matrix.columns);
  const std::int64_t group =
      matrix.panel_group();  // neighbours of a row; the next ones lie behind all rows of the panel
  for (std::int64_t column = 0; column < matrix.columns; column += group, from += group * matrix.panel)
    for (std::int64_t i = 0; i < group; ++i) to[column + i] = static_cast<float>(from[i]);
}

}  // namespace

void widen_row(const Weight& matrix, std::int64_t row, float* to) {
  if (matrix.values.dtype == DType::fp8)
    widen_unscaled<Float8>(matrix.values, row, to);
  else
    widen_unscaled<BFloat16>(matrix.values, row, to);
  for (std::int64_t group = 0; group < matrix.scales.columns; ++group) {
    const std::int64_t begin = group * matrix.scale_columns;
    row_scale(to + begin, std::min(matrix.scale_columns, matrix.columns() - begin),
              matrix.scales.row<float>(row)[group]);
  }
}

Tensor widen_rows(const CpuContext& context, const Weight& matrix, std::int64_t begin, std::int64_t count,
                  DType compute, std::byte* place) {
  const Tensor wide{place, compute, count, matrix.columns(), matrix.columns()};
  parallel_for(context, count, [&](std::int64_t row) {
    for_dtype(compute, [&]<class T>(T) {
      float* floats = output_row<2>(wide.row<T>(row), matrix.columns());
      widen_row(matrix, begin + row, floats);
      store_row(floats, wide.row<T>(row), matrix.columns());
    });
  });
  return wide;
}

}  // namespace batchscope
