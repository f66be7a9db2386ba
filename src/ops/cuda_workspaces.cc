// Workspaces of CUDA kernels, by op (ops/cuda_workspaces.h).
#include "ops/cuda_workspaces.h"

#include "ops/attention.h"
#include "ops/attention_workspace.h"
#include "ops/linear.h"
#include "ops/sample_tokens.h"

namespace batchscope {

std::int64_t cuda_workspace_bytes(std::type_index op, const void* arguments) {
  if (op == typeid(Linear)) return linear_cuda_workspace(*static_cast<const Linear*>(arguments));
  if (op == typeid(RopeAttention)) return rope_attention_workspace(*static_cast<const RopeAttention*>(arguments));
  if (op == typeid(SampleTokens)) return sample_tokens_cuda_workspace(*static_cast<const SampleTokens*>(arguments));
  return 0;
}

bool fp8_is_multiplied(const Linear& op) {
  return op.weight.has_scale_a_row() && (op.x.dtype == DType::bf16 || op.x.dtype == DType::f16);
}

Fp8Places fp8_places(std::int64_t rows, std::int64_t columns) {
  const auto whole = [](std::int64_t bytes, std::int64_t unit) { return (bytes + unit - 1) / unit * unit; };
  const std::int64_t stride = whole(columns, 16);
  return {stride, whole(rows * stride, cuda_gemm_workspace_alignment)};
}

std::int64_t linear_cuda_workspace(const Linear& op) {
  if (!op.weight.is_scaled()) return cuda_gemm_workspace_bytes;
  if (fp8_is_multiplied(op))
    return cuda_gemm_workspace_bytes + fp8_places(op.x.rows, op.x.columns).values_bytes + op.x.rows * size_of(DType::f32);
  return cuda_gemm_workspace_bytes + op.weight.values.elements() * size_of(op.x.dtype);
}

// Weights: [rows, vocabulary] f32
std::int64_t sample_tokens_cuda_workspace(const SampleTokens& op) {
  return op.out.columns * op.vocabulary * size_of(DType::f32);
}

}  // namespace batchscope
