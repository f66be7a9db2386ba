// Linear on the CPU. A bias is laid out first and the product added to it, so that the sum is rounded once.
#include <algorithm>

#include "ops/element.h"
#include "ops/gemm_cpu.h"
#include "ops/kernels_cpu.h"
#include "ops/linear.h"

namespace batchscope {

void linear_cpu(const CpuContext& context, const Linear& op) {
  const bool biased = op.bias.elements() > 0;
  if (biased) {
    for_dtype(op.out.dtype, [&]<class T>(T) {
      for (std::int64_t row = 0; row < op.out.rows; ++row)
        std::copy_n(op.bias.row<T>(0), op.out.columns, op.out.row<T>(row));
    });
  }
  gemm_cpu(context, op.x, op.weight, Transpose::yes, 1.0f, op.out, biased);
}

}  // namespace batchscope
