// How CPU kernels touch elements: arithmetic is in f32, storage in f32 or bf16.
#pragma once

#include <type_traits>

#include "base/check.h"
#include "base/target_clones.h"
#include "tensor/tensor.h"

namespace batchscope {

template <class T>
float load(const T& element) {
  return static_cast<float>(element);
}

template <class T>
void store(T& element, float value) {
  element = static_cast<T>(value);
}

// Calls body(T{}) with the C++ type of the dtype.
template <class Body>
void for_dtype(DType dtype, const Body& body) {
  if (dtype == DType::f32) return body(float{});
  CHECK_THAT(dtype == DType::bf16, "CPU kernels compute f32 and bf16, not {}", name_of(dtype));
  body(BFloat16{});
}

}  // namespace batchscope
