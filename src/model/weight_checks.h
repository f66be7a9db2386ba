// What every source of weights checks of what it hands out.
#pragma once

#include <string_view>

#include "model/weights.h"

namespace batchscope {

// A defect of the caller when the slice leaves the tensor.
void check_slice(const WeightShape& tensor, const Slice& slice);

// InputError, with the place in the tensor, when a value of `view`, which is that slice, is infinite or not a number.
void check_finite(const HostMatrix& view, const Slice& slice, std::string_view file, std::string_view tensor);

}  // namespace batchscope
