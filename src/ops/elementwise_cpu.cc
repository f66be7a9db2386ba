// Element by element on the CPU. Plain SiLU and product round to the dtype in between; the fused form rounds once.
#include <algorithm>

#include "device/cpu/parallel_for.h"
#include "ops/element.h"
#include "ops/elementwise.h"
#include "ops/kernels_cpu.h"
#include "ops/row_math.h"

namespace batchscope {
namespace {

// x[i] = function(x[i], y[i]) over all rows.
template <class Function>
void combine(const CpuContext& context, const Tensor& x, const Tensor& y, const Function& function) {
  for_dtype(x.dtype, [&]<class T>(T) {
    parallel_for(context, x.rows, [&](std::int64_t row) {
      T* left = x.row<T>(row);
      const T* right = y.row<T>(row);
      for (std::int64_t i = 0; i < x.columns; ++i) store(left[i], function(load(left[i]), load(right[i])));
    });
  });
}

}  // namespace

void add_cpu(const CpuContext& context, const Add& op) {
  combine(context, op.x, op.y, [](float x, float y) { return x + y; });
}

void maximum_cpu(const CpuContext& context, const Maximum& op) {
  combine(context, op.x, op.y, [](float x, float y) { return std::max(x, y); });
}

void silu_cpu(const CpuContext& context, const Silu& op) {
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t row) {
      with_float_row(op.x.row<T>(row), op.x.columns, [&](float* x) { row_silu(x, op.x.columns); });
    });
  });
}

void multiply_cpu(const CpuContext& context, const Multiply& op) {
  combine(context, op.x, op.y, [](float x, float y) { return x * y; });
}

void swiglu_cpu(const CpuContext& context, const SwiGlu& op) {
  for_dtype(op.gate.dtype, [&]<class T>(T) {
    parallel_for(context, op.gate.rows, [&](std::int64_t row) {
      const T* up = op.up.row<T>(row);
      with_float_row(op.gate.row<T>(row), op.gate.columns, [&](float* gate) {
        row_silu(gate, op.gate.columns);
        for (std::int64_t i = 0; i < op.gate.columns; ++i) gate[i] *= load(up[i]);
      });
    });
  });
}

}  // namespace batchscope
