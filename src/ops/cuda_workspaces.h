// What kernels of GPUs want as workspace, known without a GPU: a plan asks.
#pragma once

#include <cstdint>
#include <typeindex>

namespace batchscope {

struct Linear;
struct SampleTokens;

// Device::workspace_bytes of CUDA devices; `arguments` is the op's struct.
std::int64_t cuda_workspace_bytes(std::type_index op, const void* arguments);

// Of every product: as much as cuBLASLt's documentation recommends for Hopper, and what it takes to begin it at a multiple of
// 256 bytes, without which cuBLASLt refuses it.
inline constexpr std::int64_t cuda_gemm_workspace_used = std::int64_t{32} << 20;
inline constexpr std::int64_t cuda_gemm_workspace_alignment = 256;
inline constexpr std::int64_t cuda_gemm_workspace_bytes = cuda_gemm_workspace_used + cuda_gemm_workspace_alignment;

// Whether FP8 is multiplied by FP8: of a scale a row, in 16 bits. Other FP8 weights are multiplied out.
bool fp8_is_multiplied(const Linear& op);
// Activations [rows, columns] in FP8, behind the products' own workspace; then their scales.
struct Fp8Places {
  std::int64_t stride = 0;        // of a row, bytes; whole vectors of 16
  std::int64_t values_bytes = 0;  // where scales begin
};
Fp8Places fp8_places(std::int64_t rows, std::int64_t columns);
std::int64_t linear_cuda_workspace(const Linear& op);

std::int64_t sample_tokens_cuda_workspace(const SampleTokens& op);

}  // namespace batchscope
