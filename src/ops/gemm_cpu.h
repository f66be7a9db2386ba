// Matrix products on the CPU: oneDNN's, or plain loops where OpenMP is kept out (cmake/compiler.cmake).
#pragma once

#include <cstdint>

#include "device/cpu/kernels.h"
#include "tensor/weight.h"

namespace batchscope {

// out [m, n] = scale * a [m, k] * b (+ out, when asked to accumulate), with b [n, k] transposed, or b [k, n] as it is.
// Strided rows of one dtype; b may be narrower (ops/widened_rows.h). f32 adds up in f32; bf16 adds up in f32 and rounds
// once.
enum class Transpose { no, yes };
void gemm_cpu(const CpuContext& context, const Tensor& a, const Tensor& b, Transpose transpose_b, float scale,
              const Tensor& out, bool accumulate = false);

// out [m, n] = a [m, k] * weight [n, k]^T + bias [1, n] (or nothing); the weight as rows or as panels. Rounds as above.
void gemm_weight_cpu(const CpuContext& context, const Tensor& a, const Weight& weight, const Tensor& bias,
                     const Tensor& out);

// Bytes that the two want at CpuContext::workspace; addresses do not matter.
std::int64_t gemm_workspace(const CpuContext& context, const Tensor& a, const Tensor& b, Transpose transpose_b,
                            float scale, const Tensor& out, bool accumulate = false);
std::int64_t gemm_weight_workspace(const CpuContext& context, const Tensor& a, const Weight& weight, const Tensor& bias,
                                   const Tensor& out);

// Device::weight_panel: the widest panel of oneDNN's that divides `rows`, where its GEMM for this CPU reads panels; of fp8,
// which only few rows read in place, the widest that divides them.
std::int64_t gemm_panel(DType dtype, std::int64_t rows, std::int64_t columns);

}  // namespace batchscope
