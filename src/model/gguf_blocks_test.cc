// De-quantisation: against the format's formulas in double precision, and against what another reader made of the same
// blocks, bit for bit.
#include "model/gguf_blocks.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "model/model.h"
#include "model/test_gguf.h"

namespace batchscope {
namespace {

using Block = std::vector<std::uint8_t>;

double half_at(const Block& block, std::size_t at) {
  const int bits = block[at] | block[at + 1] << 8;
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);  // tests use finite ones
  return bits >> 15 != 0 ? -magnitude : magnitude;
}

int bits_at(const Block& block, std::size_t first_bit, int count) {  // little-endian from the block's first byte on
  int value = 0;
  for (int i = 0; i < count; ++i) {
    const std::size_t bit = first_bit + static_cast<std::size_t>(i);
    value |= (block[bit / 8] >> (bit % 8) & 1) << i;
  }
  return value;
}

int signed_at(const Block& block, std::size_t at) { return block[at] < 128 ? block[at] : block[at] - 256; }

// The nibble of element i of 32, whose bytes begin at `at`.
int nibble(const Block& block, std::size_t at, std::size_t i) {
  return bits_at(block, 8 * (at + i % 16) + i / 16 * 4, 4);
}

// The scale (or, with `minimum`, the minimum) of one of the eight groups of Q4_K and Q5_K, in 6 bits.
int six_bits(const Block& block, std::size_t group, bool minimum) {
  const std::size_t packed = 4, row = minimum ? 4 : 0;
  if (group < 4) return bits_at(block, 8 * (packed + row + group), 6);
  const int low = bits_at(block, 8 * (packed + 8 + group - 4) + (minimum ? 4 : 0), 4);
  return low | bits_at(block, 8 * (packed + row + group - 4) + 6, 2) << 4;
}

struct Formula {
  const char* name;
  std::function<double(const Block&, std::size_t)> value;  // of an element of a block
  std::vector<std::size_t> halves;                         // where a block has f16 numbers
};

const std::vector<Formula>& formulas() {
  static const std::vector<Formula> all{
      {"F16", [](const Block& b, std::size_t) { return half_at(b, 0); }, {0}},
      {"Q4_0", [](const Block& b, std::size_t i) { return half_at(b, 0) * (nibble(b, 2, i) - 8); }, {0}},
      {"Q4_1", [](const Block& b, std::size_t i) { return half_at(b, 0) * nibble(b, 4, i) + half_at(b, 2); }, {0, 2}},
      {"Q5_0",
       [](const Block& b, std::size_t i) {
         return half_at(b, 0) * (nibble(b, 6, i) + 16 * bits_at(b, 16 + i, 1) - 16);
       },
       {0}},
      {"Q5_1",
       [](const Block& b, std::size_t i) {
         return half_at(b, 0) * (nibble(b, 8, i) + 16 * bits_at(b, 32 + i, 1)) + half_at(b, 2);
       },
       {0, 2}},
      {"Q8_0", [](const Block& b, std::size_t i) { return half_at(b, 0) * signed_at(b, 2 + i); }, {0}},
      {"Q2_K",
       [](const Block& b, std::size_t i) {
         const int scales = b[i / 16];
         const int value = bits_at(b, 8 * (16 + i / 128 * 32 + i % 32) + i % 128 / 32 * 2, 2);
         return half_at(b, 80) * (scales % 16) * value - half_at(b, 82) * (scales / 16);
       },
       {80, 82}},
      {"Q3_K",
       [](const Block& b, std::size_t i) {
         const std::size_t group = i / 16;
         const int low = bits_at(b, 8 * (96 + group % 8) + group / 8 * 4, 4);
         const int scale = (low | bits_at(b, 8 * (104 + group % 4) + group / 4 * 2, 2) << 4) - 32;
         const int value = bits_at(b, 8 * (32 + i / 128 * 32 + i % 32) + i % 128 / 32 * 2, 2);
         return half_at(b, 108) * scale * (value - (bits_at(b, 8 * (i % 32) + i / 32, 1) == 1 ? 0 : 4));
       },
       {108}},
      {"Q4_K",
       [](const Block& b, std::size_t i) {
         const int value = bits_at(b, 8 * (16 + i / 64 * 32 + i % 32) + i / 32 % 2 * 4, 4);
         return half_at(b, 0) * six_bits(b, i / 32, false) * value - half_at(b, 2) * six_bits(b, i / 32, true);
       },
       {0, 2}},
      {"Q5_K",
       [](const Block& b, std::size_t i) {
         const int value = bits_at(b, 8 * (48 + i / 64 * 32 + i % 32) + i / 32 % 2 * 4, 4) +
                           16 * bits_at(b, 8 * (16 + i % 32) + i / 32, 1);
         return half_at(b, 0) * six_bits(b, i / 32, false) * value - half_at(b, 2) * six_bits(b, i / 32, true);
       },
       {0, 2}},
      {"Q6_K",
       [](const Block& b, std::size_t i) {
         const int value = bits_at(b, 8 * (i / 128 * 64 + i % 64) + i % 128 / 64 * 4, 4) +
                           16 * bits_at(b, 8 * (128 + i / 128 * 32 + i % 32) + i % 128 / 32 * 2, 2);
         return half_at(b, 208) * signed_at(b, 192 + i / 16) * (value - 32);
       },
       {208}},
  };
  return all;
}

std::vector<float> dequantised(const GgufTensorType& type, const std::byte* blocks, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count * type.block_elements));
  dequantise(format_of(type).value(), blocks, count, values.data());
  return values;
}

TEST(GgufBlocks, AreWhatTheFormulasSay) {
  std::mt19937 random(7);
  for (const Formula& formula : formulas()) {
    const GgufTensorType& type = type_named(formula.name);
    for (int repeat = 0; repeat < 20; ++repeat) {
      Block block(static_cast<std::size_t>(type.block_bytes));
      for (auto& byte : block) byte = static_cast<std::uint8_t>(random());
      for (const std::size_t at : formula.halves)
        if ((block[at + 1] & 0x7c) == 0x7c) block[at + 1] ^= 0x40;  // finite
      const auto values = dequantised(type, reinterpret_cast<const std::byte*>(block.data()), 1);
      double largest = 0;
      for (const std::size_t at : formula.halves) largest = std::max(largest, std::abs(half_at(block, at)));
      for (std::size_t i = 0; i < values.size(); ++i)
        ASSERT_NEAR(values[i], formula.value(block, i), 63 * 128 * 2 * 1.2e-7 * largest)
            << formula.name << " element " << i;
    }
  }
}

TEST(GgufBlocks, PlainTypesAreTheirOwnNumbers) {
  const std::vector<float> numbers{1.5f, -0.0f, 1e-40f, 3e38f};
  const auto same = dequantised(type_named("F32"), reinterpret_cast<const std::byte*>(numbers.data()), 4);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(std::bit_cast<std::uint32_t>(same[i]), std::bit_cast<std::uint32_t>(numbers[i]));
  const std::vector<BFloat16> narrow{BFloat16(1.5f), BFloat16(-3e38f)};
  const auto wide = dequantised(type_named("BF16"), reinterpret_cast<const std::byte*>(narrow.data()), 2);
  EXPECT_EQ(wide, (std::vector<float>{1.5f, static_cast<float>(BFloat16(-3e38f))}));
}

// The blocks of testdata/dequantised.gguf are random; beside each type's tensor lie its values as the Python package
// gguf computes them (tools/gguf_files.py golden).
TEST(GgufBlocks, EqualAnotherReadersBitForBit) {
  const Gguf golden(embedded_file("src/model/testdata/dequantised.gguf"));
  int types = 0;
  for (const auto& [name, tensor] : golden.tensors()) {
    const auto expected = golden.tensors().find(std::string(name) + ".values");
    if (expected == golden.tensors().end()) continue;
    ++types;
    const auto count = static_cast<std::int64_t>(tensor.bytes) / tensor.type->block_bytes;
    const auto values = dequantised(*tensor.type, golden.bytes(tensor).data(), count);
    ASSERT_EQ(values.size() * sizeof(float), expected->second.bytes) << name;
    EXPECT_EQ(std::memcmp(values.data(), golden.bytes(expected->second).data(), expected->second.bytes), 0) << name;
  }
  EXPECT_EQ(types, 13);
}

TEST(GgufBlocks, OtherTypesAreNotSupported) {
  int supported = 0;
  for (const GgufTensorType& type : gguf_tensor_types()) {
    const bool named = (", " + std::string(supported_gguf_types()) + ",").find(" " + std::string(type.name) + ",") !=
                       std::string::npos;
    EXPECT_EQ(format_of(type).has_value(), named) << type.name;
    supported += format_of(type).has_value();
  }
  EXPECT_EQ(supported, 13);
  EXPECT_EQ(plain_dtype(GgufFormat::f16), DType::f16);
  EXPECT_EQ(plain_dtype(GgufFormat::q4_k), std::nullopt);
}

}  // namespace
}  // namespace batchscope
