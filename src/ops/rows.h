// Moving rows: those that logits are wanted of, and those that go into a KV cache.
#pragma once

#include "device/device.h"

namespace batchscope {

// out[i] = x[rows[i]]
struct GatherRows {
  Tensor x;     // [tokens, width]
  Tensor rows;  // [1, count] i32
  Tensor out;   // [count, width]
};
void gather_rows(Device& device, const Tensor& x, const Tensor& rows, const Tensor& out);

// out[rows[i]] = x[i]
struct ScatterRows {
  Tensor x;     // [count, width]
  Tensor rows;  // [1, count] i32
  Tensor out;   // [capacity, width]; on a CPU bf16 also where x is f32
};
void scatter_rows(Device& device, const Tensor& x, const Tensor& rows, const Tensor& out);

}  // namespace batchscope
