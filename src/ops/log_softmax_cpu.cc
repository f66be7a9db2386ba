// log softmax over a cut vocabulary, on the CPU.
#include <algorithm>
#include <cmath>
#include <limits>

#include "device/cpu/parallel_for.h"
#include "ops/element.h"
#include "ops/kernels_cpu.h"
#include "ops/log_softmax.h"
#include "ops/row_math.h"

namespace batchscope {

void row_max_cpu(const CpuContext& context, const RowMax& op) {
  for_dtype(op.logits.dtype, [&]<class T>(T) {
    parallel_for(context, op.logits.rows, [&](std::int64_t row) {
      op.out.row<float>(0)[row] = row_largest(float_row<0>(op.logits.row<T>(row), op.logits.columns), op.logits.columns);
    });
  });
}

void sum_exp_and_target_cpu(const CpuContext& context, const SumExpAndTarget& op) {
  for_dtype(op.logits.dtype, [&]<class T>(T) {
    parallel_for(context, op.logits.rows, [&](std::int64_t row) {
      const float largest = op.largest.row<float>(0)[row];
      const std::int64_t target = op.targets.row<std::int32_t>(0)[row] - op.vocabulary_begin;
      const float* logits = float_row<0>(op.logits.row<T>(row), op.logits.columns);
      op.out.row<float>(0)[row] = row_sum_exp(logits, op.logits.columns, largest);
      op.out.row<float>(1)[row] = target >= 0 && target < op.logits.columns ? logits[target] : 0;
    });
  });
}

void target_log_probability_cpu(const CpuContext&, const TargetLogProbability& op) {
  for (std::int64_t row = 0; row < op.out.columns; ++row)
    op.out.row<float>(0)[row] = op.sum_and_target.row<float>(1)[row] - op.largest.row<float>(0)[row] -
                                std::log(op.sum_and_target.row<float>(0)[row]);
}

void row_argmax_cpu(const CpuContext& context, const RowArgMax& op) {
  for_dtype(op.logits.dtype, [&]<class T>(T) {
    parallel_for(context, op.logits.rows, [&](std::int64_t row) {
      const float* logits = float_row<0>(op.logits.row<T>(row), op.logits.columns);
      const float* end = logits + op.logits.columns;
      const float* best = std::find(logits, end, row_largest(logits, op.logits.columns));
      const bool has_nan = row_has_nan(logits, op.logits.columns);
      if (has_nan) best = logits;
      op.out.row<float>(row)[0] = has_nan ? std::numeric_limits<float>::quiet_NaN() : *best;
      op.out.row<float>(row)[1] = static_cast<float>(op.vocabulary_begin + (best - logits));
    });
  });
}

void best_token_cpu(const CpuContext&, const BestToken& op) {
  for (std::int64_t row = 0; row < op.out.columns; ++row) {
    const float* best = op.candidates.row<float>(row);
    for (std::int64_t at = row; at < op.candidates.rows; at += op.out.columns) {
      const float* candidate = op.candidates.row<float>(at);
      if (candidate[0] > best[0] || std::isnan(candidate[0])) best = candidate;
    }
    op.out.row<std::int32_t>(0)[row] = std::isnan(best[0]) ? -1 : static_cast<std::int32_t>(best[1]);
  }
}

}  // namespace batchscope
