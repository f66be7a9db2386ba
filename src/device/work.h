// What a kernel costs, as its op states it; in order they are a step's trace.
#pragma once

#include <cstdint>
#include <string_view>

#include "tensor/dtype.h"

namespace batchscope {

struct Work {
  std::string_view op;     // a literal
  double flop = 0;         // arithmetic
  std::int64_t bytes = 0;  // that must cross the memory at least once
  DType dtype = DType::f32;
  // A product's [m, k] by [k, n]; of everything else m is the elements that come out, n and k are 0.
  std::int64_t m = 0, n = 0, k = 0;
};

}  // namespace batchscope
