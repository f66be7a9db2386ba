// Names of element types.
#include "tensor/dtype.h"

#include "base/error.h"

namespace batchscope {

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "f16";
    case DType::i32:
      return "i32";
  }
  return "?";
}

DType parse_dtype(std::string_view name, std::string_view what) {
  if (name == "f32") return DType::f32;
  if (name == "bf16") return DType::bf16;
  if (name == "f16") return DType::f16;
  throw InputError("{}: '{}' is not a known dtype; use f32, bf16 or f16", what, name);
}

}  // namespace batchscope
