// RMSNorm (Zhang and Sennrich 2019): alone, fused with the addition of a residual, and over each head of queries or
// keys (QK norm: Henry et al. 2020).
// out = weight * round(x / sqrt(mean(x^2) + epsilon)); round is to the tensors' dtype, as Hugging Face's LLaMA has it.
#pragma once

#include "device/device.h"

namespace batchscope {

struct RmsNorm {
  Tensor x;       // [tokens, hidden]
  Tensor weight;  // [1, hidden]
  float epsilon;
  Tensor out;  // [tokens, hidden], may be x
};
void rms_norm(Device& device, const Tensor& x, const Tensor& weight, float epsilon, const Tensor& out);

// x = rms_norm(x), head by head.
struct HeadRmsNorm {
  Tensor x;       // [tokens, heads * head_dim], rows may be strided
  Tensor weight;  // [1, head_dim], the same for all heads
  float epsilon;
};
void head_rms_norm(Device& device, const Tensor& x, const Tensor& weight, float epsilon);

struct AddRmsNorm {
  Tensor x;       // [tokens, hidden], the residual stream: x += y
  Tensor y;       // [tokens, hidden]
  Tensor weight;  // [1, hidden]
  float epsilon;
  Tensor out;  // [tokens, hidden], may be y
};
void add_rms_norm(Device& device, const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon,
                  const Tensor& out);

}  // namespace batchscope
