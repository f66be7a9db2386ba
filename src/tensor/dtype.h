// Element types of tensors, and bf16 and f16 as storage.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace batchscope {

enum class DType { f32, bf16, f16, i32 };

constexpr std::int64_t size_of(DType dtype) { return dtype == DType::f32 || dtype == DType::i32 ? 4 : 2; }
std::string_view name_of(DType dtype);  // "f32", "bf16", "f16", "i32"
// A dtype to compute in, by its name; InputError naming `what` for an unknown one.
DType parse_dtype(std::string_view name, std::string_view what);

// The upper half of a float; rounds to nearest even, keeps NaN.
struct BFloat16 {
  std::uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    bits = value != value ? static_cast<std::uint16_t>((word >> 16) | 0x40)
                          : static_cast<std::uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

// IEEE binary16, for reading checkpoints.
struct Float16 {
  std::uint16_t bits = 0;
  explicit operator float() const;
};

}  // namespace batchscope
