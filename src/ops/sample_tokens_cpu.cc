// Drawing tokens on the CPU: a row's parts are laid one behind the other.
#include "device/cpu/parallel_for.h"
#include "ops/element.h"
#include "ops/kernels_cpu.h"
#include "ops/row_math.h"
#include "ops/sample_tokens.h"

namespace batchscope {

void sample_tokens_cpu(const CpuContext& context, const SampleTokens& op) {
  for_dtype(op.logits.dtype, [&]<class T>(T) {
    parallel_for(context, op.out.columns, [&](std::int64_t row) {
      std::vector<float> logits;
      for (std::int64_t part = 0; part < op.parts(); ++part) {
        const T* own = op.logits.row<T>(part * op.out.columns + row);
        for (std::int64_t i = 0; i < op.width(part); ++i) logits.push_back(load(own[i]));
      }
      const auto* draw = reinterpret_cast<const TokenDraw*>(op.draws.row<std::int32_t>(row));
      op.out.row<std::int32_t>(0)[row] = row_has_nan(logits.data(), std::ssize(logits)) ? -1 : sample_token(logits, *draw);
    });
  });
}

}  // namespace batchscope
