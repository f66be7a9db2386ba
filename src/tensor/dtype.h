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
  explicit operator float() const {
    const std::uint32_t exponent = (bits >> 10) & 0x1fu, fraction = bits & 0x3ffu;
    const std::uint32_t wide_exponent = exponent == 0x1f ? 0xffu : exponent + 112;
    const float magnitude = exponent == 0 ? static_cast<float>(fraction) * 0x1p-24f  // zero and subnormal
                                          : std::bit_cast<float>((wide_exponent << 23) | (fraction << 13));
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | (bits & 0x8000u) << 16);
  }
};

}  // namespace batchscope
