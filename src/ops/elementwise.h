// Element by element: sums and maxima (residuals, reductions), and the MLP's SwiGLU (Shazeer 2020) in plain steps and
// fused.
#pragma once

#include "device/device.h"

namespace batchscope {

// x += y
struct Add {
  Tensor x;  // [tokens, hidden]
  Tensor y;  // [tokens, hidden]
};
void add(Device& device, const Tensor& x, const Tensor& y);

// x = max(x, y)
struct Maximum {
  Tensor x;  // any shape
  Tensor y;  // the same
};
void maximum(Device& device, const Tensor& x, const Tensor& y);

// x = x * sigmoid(x)
struct Silu {
  Tensor x;  // [tokens, intermediate]
};
void silu(Device& device, const Tensor& x);

// x *= y
struct Multiply {
  Tensor x;  // [tokens, intermediate]
  Tensor y;  // [tokens, intermediate]
};
void multiply(Device& device, const Tensor& x, const Tensor& y);

// out = silu(gate) * up, in one pass
struct SwiGlu {
  Tensor gate;  // [tokens, intermediate]
  Tensor up;    // [tokens, intermediate]
  Tensor out;   // [tokens, intermediate], may be gate
};
void swiglu(Device& device, const Tensor& gate, const Tensor& up, const Tensor& out);

}  // namespace batchscope
