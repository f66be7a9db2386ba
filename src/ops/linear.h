// Linear: out = x * weight^T (+ bias). Weights are [out_features, in_features], as checkpoints have them, so
// projections that lie next to each other in memory are one GEMM when taken together.
#pragma once

#include "device/device.h"
#include "tensor/weight.h"

namespace batchscope {

struct Linear {
  Tensor x;       // [tokens, in_features], rows may be strided
  Weight weight;  // [out_features, in_features]; fp8, or on a CPU bf16, also where the rest is wider
  Tensor bias;    // [1, out_features], or nothing
  Tensor out;     // [tokens, out_features], rows may be strided; not x
};
void linear(Device& device, const Tensor& x, const Weight& weight, const Tensor& bias, const Tensor& out);

}  // namespace batchscope
