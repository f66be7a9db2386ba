// RMSNorm on the CPU: one pass for the mean square, one to scale.
#include "ops/norm_cpu.h"

#include "device/cpu/parallel_for.h"
#include "ops/kernels_cpu.h"
#include "ops/norm.h"

namespace batchscope {
void rms_norm_cpu(const CpuContext& context, const RmsNorm& op) {
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t row) {
      norm_row<T>(op.x.row<T>(row), nullptr, op.weight.row<T>(0), op.epsilon, op.out.row<T>(row), op.x.columns);
    });
  });
}

void head_rms_norm_cpu(const CpuContext& context, const HeadRmsNorm& op) {
  const std::int64_t head_dim = op.weight.columns;
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t row) {
      for (T* head = op.x.row<T>(row); head != op.x.row<T>(row) + op.x.columns; head += head_dim)
        norm_row<T>(head, nullptr, op.weight.row<T>(0), op.epsilon, head, head_dim);
    });
  });
}

void add_rms_norm_cpu(const CpuContext& context, const AddRmsNorm& op) {
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t row) {
      norm_row<T>(op.x.row<T>(row), op.y.row<T>(row), op.weight.row<T>(0), op.epsilon, op.out.row<T>(row),
                  op.x.columns);
    });
  });
}

}  // namespace batchscope
