// Element types of tensors, and bf16, f16 and fp8 as storage.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace batchscope {

enum class DType { f32, bf16, f16, i32, fp8 };

constexpr std::int64_t size_of(DType dtype) {
  return dtype == DType::fp8 ? 1 : dtype == DType::f32 || dtype == DType::i32 ? 4 : 2;
}
std::string_view name_of(DType dtype);  // "f32", "bf16", "f16", "i32", "fp8"
// A dtype to compute in, by its name; InputError naming `what` for an unknown one.
DType parse_dtype(std::string_view name, std::string_view what);
// The same of a dtype to keep weights in: fp8, too.
DType parse_weights_dtype(std::string_view name, std::string_view what);

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

// FP8 as weights have it, with scales beside it: E4M3 without infinities (Micikevicius et al. 2022; OCP's OFP8), a sign, four
// bits of exponent, three of mantissa.
struct Float8 {
  std::uint8_t bits = 0;
  static constexpr float largest = 448;
  Float8() = default;
  // To nearest even; what is larger than the largest becomes that. Not for NaN.
  explicit Float8(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const float magnitude = std::min(std::bit_cast<float>(word & 0x7fffffffu), largest);
    const auto wide = std::bit_cast<std::uint32_t>(magnitude);
    const std::uint32_t normal = ((wide + 0x7ffffu + ((wide >> 20) & 1u)) >> 20) - (120u << 3);
    const float shifted = magnitude + 0x1p14f;  // whose last bit is the smallest subnormal, 2^-9
    const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(0x1p14f);
    bits = static_cast<std::uint8_t>((magnitude < 0x1p-6f ? subnormal : normal) | (word >> 24 & 0x80u));
  }
  // Exact; both NaNs become 480, and loading refuses them.
  explicit operator float() const {
    const std::uint32_t word = (bits & 0x80u) << 24 | (bits & 0x7fu) << 20;
    return std::bit_cast<float>(word) * 0x1p120f;  // of an f32 with the same exponent and mantissa
  }
};

}  // namespace batchscope
