// Moving rows on the CPU.
#include <cstring>

#include "ops/kernels_cpu.h"
#include "ops/row_math.h"
#include "ops/rows.h"

namespace batchscope {
namespace {

void copy_row(const Tensor& from, std::int64_t from_row, const Tensor& to, std::int64_t to_row) {
  CHECK_THAT(from_row >= 0 && from_row < from.rows && to_row >= 0 && to_row < to.rows, "rows {} and {} exist", from_row,
             to_row);
  if (from.dtype == DType::f32 && to.dtype == DType::bf16)
    return row_narrow(from.row<float>(from_row), to.row<BFloat16>(to_row), from.columns);
  CHECK_EQUAL(size_of(from.dtype), size_of(to.dtype), "other rows are copied as they are");
  std::memcpy(to.data + to_row * to.stride * size_of(to.dtype),
              from.data + from_row * from.stride * size_of(from.dtype),
              static_cast<std::size_t>(from.columns * size_of(from.dtype)));
}

}  // namespace

void gather_rows_cpu(const CpuContext&, const GatherRows& op) {
  for (std::int64_t i = 0; i < op.out.rows; ++i) copy_row(op.x, op.rows.row<std::int32_t>(0)[i], op.out, i);
}

void scatter_rows_cpu(const CpuContext&, const ScatterRows& op) {
  for (std::int64_t i = 0; i < op.x.rows; ++i) copy_row(op.x, i, op.out, op.rows.row<std::int32_t>(0)[i]);
}

}  // namespace batchscope
