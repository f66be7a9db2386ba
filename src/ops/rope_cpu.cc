// RoPE on the CPU.
#include "ops/rope_cpu.h"

#include <cmath>

#include "device/cpu/parallel_for.h"
#include "ops/kernels_cpu.h"
#include "ops/rope.h"

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
  const std::int64_t half = op.cosine.columns;
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t token) {
      for (std::int64_t head = 0; head < op.x.columns / (2 * half); ++head)
        rotate_head(op.x.row<T>(token) + head * 2 * half, op.cosine.row<float>(token), op.sine.row<float>(token), half);
    });
  });
}

}  // namespace batchscope
