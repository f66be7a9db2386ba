// De-quantisation of GGUF's blocks (model/gguf_blocks.h). Compiled without contraction of products and sums into fused
// ones (CMakeLists.txt), which would round otherwise than the format's reference.
#include "model/gguf_blocks.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/target_clones.h"

namespace batchscope {
namespace {

// A decoder is one function of a block's bytes and its values; inlined into every clone of dequantise.
#define BATCHSCOPE_DECODER [[gnu::always_inline]] inline void

using Byte = std::uint8_t;

// An f16 at an address of any alignment.
[[gnu::always_inline]] inline float half(const Byte* bytes) {
  Float16 value;
  std::memcpy(&value, bytes, sizeof value);
  return static_cast<float>(value);
}

// 32 elements: f16 scale, 16 bytes of two; the low nibbles are the first 16.
BATCHSCOPE_DECODER decode_q4_0(const Byte* __restrict block, float* __restrict out) {
  const float scale = half(block);
  const Byte* nibbles = block + 2;
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>((nibbles[i] & 15) - 8);
    out[i + 16] = scale * static_cast<float>((nibbles[i] >> 4) - 8);
  }
}

// 32 elements: f16 scale and minimum, nibbles as in Q4_0.
BATCHSCOPE_DECODER decode_q4_1(const Byte* __restrict block, float* __restrict out) {
  const float scale = half(block), minimum = half(block + 2);
  const Byte* nibbles = block + 4;
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>(nibbles[i] & 15) + minimum;
    out[i + 16] = scale * static_cast<float>(nibbles[i] >> 4) + minimum;
  }
}

// The five bits of element i and of element i + 16: nibbles below, bits of a word above.
[[gnu::always_inline]] inline std::array<int, 2> five_bits(std::uint32_t high, Byte nibbles, int i) {
  const auto low = static_cast<int>(high >> i & 1u) << 4, upper = static_cast<int>(high >> (i + 16) & 1u) << 4;
  return {(nibbles & 15) | low, (nibbles >> 4) | upper};
}

// 32 elements: f16 scale, a word of fifth bits, nibbles.
BATCHSCOPE_DECODER decode_q5_0(const Byte* __restrict block, float* __restrict out) {
  const float scale = half(block);
  std::uint32_t high;
  std::memcpy(&high, block + 2, sizeof high);
  const Byte* nibbles = block + 6;
  for (int i = 0; i < 16; ++i) {
    const auto [first, second] = five_bits(high, nibbles[i], i);
    out[i] = scale * static_cast<float>(first - 16);
    out[i + 16] = scale * static_cast<float>(second - 16);
  }
}

// 32 elements: f16 scale and minimum, a word of fifth bits, nibbles.
BATCHSCOPE_DECODER decode_q5_1(const Byte* __restrict block, float* __restrict out) {
  const float scale = half(block), minimum = half(block + 2);
  std::uint32_t high;
  std::memcpy(&high, block + 4, sizeof high);
  const Byte* nibbles = block + 8;
  for (int i = 0; i < 16; ++i) {
    const auto [first, second] = five_bits(high, nibbles[i], i);
    out[i] = scale * static_cast<float>(first) + minimum;
    out[i + 16] = scale * static_cast<float>(second) + minimum;
  }
}

// 32 elements: f16 scale, signed bytes.
BATCHSCOPE_DECODER decode_q8_0(const Byte* __restrict block, float* __restrict out) {
  const float scale = half(block);
  const Byte* values = block + 2;
  for (int i = 0; i < 32; ++i) out[i] = scale * static_cast<float>(static_cast<std::int8_t>(values[i]));
}

// 256 elements: 16 bytes of a scale (low) and a minimum (high) for 16 elements each, 64 bytes of four elements (two
// bits each; of 32 bytes first all lowest pairs), f16 scales of the scales and of the minima.
BATCHSCOPE_DECODER decode_q2_k(const Byte* __restrict block, float* __restrict out) {
  const Byte *scales = block, *pairs = block + 16;
  const float scale = half(block + 80), minimum = half(block + 82);
  for (int group = 0; group < 16; ++group) {
    const float group_scale = scale * static_cast<float>(scales[group] & 15);
    const float group_minimum = minimum * static_cast<float>(scales[group] >> 4);
    const Byte* from = pairs + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i)
      out[16 * group + i] = group_scale * static_cast<float>(from[i] >> shift & 3) - group_minimum;
  }
}

// 256 elements: 32 bytes of third bits (inverted: a set one subtracts nothing), 64 bytes of two lower bits as in Q2_K,
// 12 bytes of sixteen 6-bit scales less 32, f16 scale of the scales.
BATCHSCOPE_DECODER decode_q3_k(const Byte* __restrict block, float* __restrict out) {
  const Byte *mask = block, *pairs = block + 32, *scales = block + 96;
  const float scale = half(block + 108);
  for (int group = 0; group < 16; ++group) {
    const int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
    const int high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    const float group_scale = scale * static_cast<float>((low | high << 4) - 32);
    const Byte *from = pairs + group / 8 * 32 + group % 2 * 16, *third = mask + group % 2 * 16;
    const int shift = group % 8 / 2 * 2, bit = group / 2;
    for (int i = 0; i < 16; ++i) {
      const int value = (from[i] >> shift & 3) - 4 + (third[i] >> bit & 1) * 4;
      out[16 * group + i] = group_scale * static_cast<float>(value);
    }
  }
}

struct GroupScales {
  float scale[8], minimum[8];
};

// The heads of Q4_K and Q5_K: f16 scales of scales and minima, then eight of each in 6 bits: of the first four the low
// 6 bits of a byte; of the last four a nibble, their upper two bits on top of the first four's.
[[gnu::always_inline]] inline GroupScales group_scales(const Byte* block) {
  const float scale = half(block), minimum = half(block + 2);
  const Byte* packed = block + 4;
  GroupScales groups;
  for (int i = 0; i < 4; ++i) {
    groups.scale[i] = scale * static_cast<float>(packed[i] & 63);
    groups.minimum[i] = minimum * static_cast<float>(packed[i + 4] & 63);
    groups.scale[i + 4] = scale * static_cast<float>((packed[i + 8] & 15) | (packed[i] >> 6) << 4);
    groups.minimum[i + 4] = minimum * static_cast<float>((packed[i + 8] >> 4) | (packed[i + 4] >> 6) << 4);
  }
  return groups;
}

// 256 elements in groups of 32: the head, then 128 bytes of two; of 32 bytes the low nibbles are a group, the high ones
// the next.
BATCHSCOPE_DECODER decode_q4_k(const Byte* __restrict block, float* __restrict out) {
  const GroupScales groups = group_scales(block);
  const Byte* nibbles = block + 16;
  for (int group = 0; group < 8; ++group) {
    const float scale = groups.scale[group], minimum = groups.minimum[group];
    const Byte* from = nibbles + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; ++i) out[32 * group + i] = scale * static_cast<float>(from[i] >> shift & 15) - minimum;
  }
}

// As Q4_K, with 32 bytes of fifth bits (a bit a group) between head and nibbles.
BATCHSCOPE_DECODER decode_q5_k(const Byte* __restrict block, float* __restrict out) {
  const GroupScales groups = group_scales(block);
  const Byte *fifth = block + 16, *nibbles = block + 48;
  for (int group = 0; group < 8; ++group) {
    const float scale = groups.scale[group], minimum = groups.minimum[group];
    const Byte* from = nibbles + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int value = (from[i] >> shift & 15) | (fifth[i] >> group & 1) << 4;
      out[32 * group + i] = scale * static_cast<float>(value) - minimum;
    }
  }
}

// 256 elements in two halves: 128 bytes of lower nibbles, 64 of upper two bits, 16 signed scales (for 16 elements
// each), f16 scale of the scales. A quarter (32) of a half has its nibbles in one of two 32 bytes, low or high.
BATCHSCOPE_DECODER decode_q6_k(const Byte* __restrict block, float* __restrict out) {
  const Byte *nibbles = block, *upper = block + 128, *scales = block + 192;
  const float scale = half(block + 208);
  for (int group = 0; group < 16; ++group) {
    const float group_scale = scale * static_cast<float>(static_cast<std::int8_t>(scales[group]));
    const int in_half = group % 8, quarter = in_half / 2;
    const Byte* from = nibbles + group / 8 * 64 + quarter % 2 * 32 + group % 2 * 16;
    const Byte* two = upper + group / 8 * 32 + group % 2 * 16;
    const int shift = quarter / 2 * 4, two_shift = quarter * 2;
    for (int i = 0; i < 16; ++i) {
      const int value = ((from[i] >> shift & 15) | (two[i] >> two_shift & 3) << 4) - 32;
      out[16 * group + i] = group_scale * static_cast<float>(value);
    }
  }
}

BATCHSCOPE_DECODER decode_f16(const Byte* __restrict element, float* __restrict out) { *out = half(element); }

BATCHSCOPE_DECODER decode_bf16(const Byte* __restrict element, float* __restrict out) {
  BFloat16 value;
  std::memcpy(&value, element, sizeof value);
  *out = static_cast<float>(value);
}

}  // namespace

std::optional<GgufFormat> format_of(const GgufTensorType& type) {
  using enum GgufFormat;
  for (const GgufFormat format : {f32, f16, q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, bf16})
    if (type.number == static_cast<std::uint32_t>(format)) return format;
  return std::nullopt;
}

std::string_view supported_gguf_types() {
  return "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K";
}

std::optional<DType> plain_dtype(GgufFormat format) {
  if (format == GgufFormat::f32) return DType::f32;
  if (format == GgufFormat::f16) return DType::f16;
  if (format == GgufFormat::bf16) return DType::bf16;
  return std::nullopt;
}

BATCHSCOPE_TARGET_CLONES
void dequantise(GgufFormat format, const std::byte* blocks, std::int64_t block_count, float* out) {
  const auto* block = reinterpret_cast<const Byte*>(blocks);
#define BATCHSCOPE_CASE(format, elements, bytes)                                                           \
  case GgufFormat::format:                                                                                 \
    for (std::int64_t i = 0; i < block_count; ++i) decode_##format(block + i * bytes, out + i * elements); \
    break
  switch (format) {
    case GgufFormat::f32:
      std::memcpy(out, blocks, static_cast<std::size_t>(block_count) * sizeof(float));
      break;
      BATCHSCOPE_CASE(f16, 1, 2);
      BATCHSCOPE_CASE(bf16, 1, 2);
      BATCHSCOPE_CASE(q4_0, 32, 18);
      BATCHSCOPE_CASE(q4_1, 32, 20);
      BATCHSCOPE_CASE(q5_0, 32, 22);
      BATCHSCOPE_CASE(q5_1, 32, 24);
      BATCHSCOPE_CASE(q8_0, 32, 34);
      BATCHSCOPE_CASE(q2_k, 256, 84);
      BATCHSCOPE_CASE(q3_k, 256, 110);
      BATCHSCOPE_CASE(q4_k, 256, 144);
      BATCHSCOPE_CASE(q5_k, 256, 176);
      BATCHSCOPE_CASE(q6_k, 256, 210);
  }
#undef BATCHSCOPE_CASE
}

}  // namespace batchscope
