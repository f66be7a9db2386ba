// RoPE on the CPU.
#include <cmath>

#include "device/cpu/parallel_for.h"
#include "ops/kernels_cpu.h"
#include "ops/rope.h"
#include "ops/row_math.h"

namespace batchscope {

void rope_table_cpu(const CpuContext& context, const RopeTable& op) {
  parallel_for(context, op.cosine.rows, [&](std::int64_t token) {
    const auto position = static_cast<float>(op.positions.row<std::int32_t>(0)[token]);
    for (std::int64_t i = 0; i < op.cosine.columns; ++i) {
      const float angle = position * op.inverse_frequencies.row<float>(0)[i];
      op.cosine.row<float>(token)[i] = std::cos(angle) * op.factor;
      op.sine.row<float>(token)[i] = std::sin(angle) * op.factor;
    }
  });
}

void rope_cpu(const CpuContext& context, const Rope& op) {
  const std::int64_t half = op.cosine.columns, width = op.x.columns;
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t token) {
      float* x = float_row<0>(op.x.row<T>(token), width);
      for (float* head = x; head != x + width; head += 2 * half)
        row_rotate(head, op.cosine.row<float>(token), op.sine.row<float>(token), half);
      store_row(x, op.x.row<T>(token), width);
    });
  });
}

}  // namespace batchscope
