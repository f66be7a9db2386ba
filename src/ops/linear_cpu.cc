// Linear on the CPU.
#include "ops/gemm_cpu.h"
#include "ops/kernels_cpu.h"
#include "ops/linear.h"

namespace batchscope {

void linear_cpu(const CpuContext& context, const Linear& op) {
  gemm_weight_cpu(context, op.x, op.weight, op.bias, op.out);
}

std::int64_t linear_cpu_workspace(const CpuContext& context, const Linear& op) {
  return gemm_weight_workspace(context, op.x, op.weight, op.bias, op.out);
}

}  // namespace batchscope
