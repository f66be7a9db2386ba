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
    case DType::fp8:
      return "fp8";
  }
  return "?";
}

DType parse_dtype(std::string_view name, std::string_view what) {
  if (name == "f32" || name == "float32") return DType::f32;  // PyTorch's names, too
  if (name == "bf16" || name == "bfloat16") return DType::bf16;
  if (name == "f16" || name == "float16" || name == "half") return DType::f16;
  throw InputError("{}: '{}' is not a known dtype; use f32, bf16 or f16", what, name);
}

DType parse_weights_dtype(std::string_view name, std::string_view what) {
  for (const std::string_view fp8 : {"fp8", "float8_e4m3fn", "fp8_e4m3", "e4m3"})
    if (name == fp8) return DType::fp8;
  if (name.starts_with("fp8") || name.starts_with("float8") || name == "e5m2")
    throw InputError("{}: '{}' is not supported; fp8 is E4M3 here", what, name);
  return parse_dtype(name, what);
}

}  // namespace batchscope
