// RMSNorm on the CPU: one pass for the mean square, one to scale.
#include "ops/norm_cpu.h"

#include <algorithm>

#include "device/cpu/parallel_for.h"
#include "ops/kernels_cpu.h"
#include "ops/norm.h"

namespace batchscope {
namespace {

// out = norm(x), of a row of floats that stand in `x`.
template <class T>
void write_normed(const float* x, const Tensor& weight, float epsilon, T* out, std::int64_t width) {
  float* normed = output_row<2>(out, width);
  if (normed != x) std::copy_n(x, width, normed);
  norm_row(normed, weight.row<T>(0), epsilon, width);
  store_row(normed, out, width);
}

}  // namespace

void rms_norm_cpu(const CpuContext& context, const RmsNorm& op) {
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t row) {
      write_normed(float_row<0>(op.x.row<T>(row), op.x.columns), op.weight, op.epsilon, op.out.row<T>(row),
                   op.x.columns);
    });
  });
}

void head_rms_norm_cpu(const CpuContext& context, const HeadRmsNorm& op) {
  const std::int64_t head_dim = op.weight.columns;
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t row) {
      for (T* head = op.x.row<T>(row); head != op.x.row<T>(row) + op.x.columns; head += head_dim)
        write_normed(float_row<0>(head, head_dim), op.weight, op.epsilon, head, head_dim);
    });
  });
}

void add_rms_norm_cpu(const CpuContext& context, const AddRmsNorm& op) {
  const std::int64_t width = op.x.columns;
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t row) {
      float* x = float_row<0>(op.x.row<T>(row), width);
      row_add(x, float_row<1>(op.y.row<T>(row), width), width);
      store_row(x, op.x.row<T>(row), width);
      round_row<T>(x, width);  // the norm is of the sum as it is kept
      write_normed(x, op.weight, op.epsilon, op.out.row<T>(row), width);
    });
  });
}

}  // namespace batchscope
