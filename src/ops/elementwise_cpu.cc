// Element by element on the CPU. Plain SiLU and product round to the dtype in between; the fused form rounds once.
#include "device/cpu/parallel_for.h"
#include "ops/elementwise.h"
#include "ops/kernels_cpu.h"
#include "ops/row_math.h"

namespace batchscope {
namespace {

// function(x, y, count) on all rows, changing x.
template <class Function>
void combine(const CpuContext& context, const Tensor& x, const Tensor& y, const Function& function) {
  for_dtype(x.dtype, [&]<class T>(T) {
    parallel_for(context, x.rows, [&](std::int64_t row) {
      float* left = float_row<0>(x.row<T>(row), x.columns);
      function(left, float_row<1>(y.row<T>(row), x.columns), x.columns);
      store_row(left, x.row<T>(row), x.columns);
    });
  });
}

}  // namespace

void add_cpu(const CpuContext& context, const Add& op) { combine(context, op.x, op.y, row_add); }

void maximum_cpu(const CpuContext& context, const Maximum& op) { combine(context, op.x, op.y, row_maximum); }

void silu_cpu(const CpuContext& context, const Silu& op) {
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t row) {
      float* x = float_row<0>(op.x.row<T>(row), op.x.columns);
      row_silu(x, op.x.columns);
      store_row(x, op.x.row<T>(row), op.x.columns);
    });
  });
}

void multiply_cpu(const CpuContext& context, const Multiply& op) { combine(context, op.x, op.y, row_multiply); }

void swiglu_cpu(const CpuContext& context, const SwiGlu& op) {
  const std::int64_t width = op.gate.columns;
  for_dtype(op.gate.dtype, [&]<class T>(T) {
    parallel_for(context, op.gate.rows, [&](std::int64_t row) {
      float* out = output_row<2>(op.out.row<T>(row), width);
      row_swiglu(float_row<0>(op.gate.row<T>(row), width), float_row<1>(op.up.row<T>(row), width), out, width);
      store_row(out, op.out.row<T>(row), width);
    });
  });
}

}  // namespace batchscope
