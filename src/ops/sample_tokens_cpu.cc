// Drawing tokens on the CPU: a row's parts are laid one behind the other.
#include "device/cpu/parallel_for.h"
#include "ops/element.h"
#include "ops/kernels_cpu.h"
#include "ops/sample_tokens.h"

namespace batchscope {

void sample_tokens_cpu(const CpuContext& context, const SampleTokens& op) {
  for_dtype(op.logits.dtype, [&]<class T>(T) {
    parallel_for(context, op.out.columns, [&](std::int64_t row) {
      std::vector<float> logits;
      for (std::size_t part = 0; part < op.widths->size(); ++part) {
        const T* own = op.logits.row<T>(static_cast<std::int64_t>(part) * op.out.columns + row);
        for (std::int64_t i = 0; i < (*op.widths)[part]; ++i) logits.push_back(load(own[i]));
      }
      op.out.row<std::int32_t>(0)[row] = sample_token(logits, (*op.draws)[static_cast<std::size_t>(row)]);
    });
  });
}

}  // namespace batchscope
