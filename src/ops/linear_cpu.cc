// Linear on the CPU.
#include "ops/gemm_cpu.h"
#include "ops/kernels_cpu.h"
#include "ops/linear.h"

namespace batchscope {

void linear_cpu(const CpuContext& context, const Linear& op) {
  gemm_weight_cpu(context, op.x, op.weight, op.bias, op.out);
}

}  // namespace batchscope
