// Matrix products on the CPU: oneDNN's, or plain loops where OpenMP is kept out (cmake/compiler.cmake).
#pragma once

#include <cstdint>

#include "device/cpu/kernels.h"
#include "tensor/tensor.h"

namespace batchscope {

// out [m, n] = scale * a [m, k] * b (+ out, when asked to accumulate), with b [n, k] transposed, or b [k, n] as it is.
// Strided rows; a and b of one dtype. f32 adds up in f32; bf16 adds up in f32 and rounds once.
enum class Transpose { no, yes };
void gemm_cpu(const CpuContext& context, const Tensor& a, const Tensor& b, Transpose transpose_b, float scale,
              const Tensor& out, bool accumulate = false);

// out [m, n] = a [m, k] * weight [n, k]^T + bias [1, n] (or nothing); the weight as rows or as panels. Rounds as above.
void gemm_weight_cpu(const CpuContext& context, const Tensor& a, const Tensor& weight, const Tensor& bias,
                     const Tensor& out);

// Device::weight_panel: the widest panel of oneDNN's that divides `rows`, where its GEMM for this CPU reads panels.
std::int64_t gemm_panel(DType dtype, std::int64_t rows, std::int64_t columns);

}  // namespace batchscope
