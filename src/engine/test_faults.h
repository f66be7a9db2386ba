// Faults that real engines have had, put into ours by tests of what has to notice them. Nothing else sets them.
#pragma once

#include <functional>

#include "engine/batch.h"
#include "tensor/tensor.h"

namespace batchscope {

struct TestFaults {
  // Called where plain attention has the rotated keys and the values of a batch, before it reads them.
  std::function<void(const Batch& batch, const Tensor& keys, const Tensor& values)> keys_and_values;
};
inline TestFaults test_faults;

}  // namespace batchscope
