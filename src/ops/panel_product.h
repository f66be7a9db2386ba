// Few rows times a weight in panels, as decode has them: bound by reading the weight, which is read once and in order.
#pragma once

#include <cstdint>

#include "device/cpu/kernels.h"
#include "tensor/weight.h"

namespace batchscope {

inline constexpr std::int64_t most_panel_product_rows = 4;

// out [m, n] = a [m, k] * weight [n, k]^T + bias [1, n] (or nothing), with 1 <= m <= most_panel_product_rows and the weight
// in panels of 16, 32, 48 or 64 rows; scales are of whole groups of a panel (Tensor::panel_group). Adds up in f32 and rounds
// once.
void panel_product(const CpuContext& context, const Tensor& a, const Weight& weight, const Tensor& bias,
                   const Tensor& out);

}  // namespace batchscope
