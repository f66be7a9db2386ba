// Tests of element types: rounding to bf16, every f16, names.
#include "tensor/dtype.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace batchscope {
namespace {

float from_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }
float rounded(float value) { return static_cast<float>(BFloat16(value)); }

RC_GTEST_PROP(BFloat16, RoundsToTheNearestAndTiesToEven, ()) {
  const float value = from_bits(*rc::gen::arbitrary<std::uint32_t>());
  RC_PRE(std::isfinite(value) && std::abs(value) < 3.38e38f);
  // The two neighbours that bf16 has, one towards zero, one away from it.
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const double low = from_bits(bits & 0xffff0000u), high = from_bits((bits & 0xffff0000u) + 0x10000u);
  const double to_low = std::abs(value - low), to_high = std::abs(high - value);
  const double want = to_low < to_high ? low : to_high < to_low ? high : (bits & 0x10000u) == 0 ? low : high;
  RC_ASSERT(static_cast<double>(rounded(value)) == want);
}

TEST(BFloat16, TiesGoToTheEvenNeighbour) {
  EXPECT_EQ(rounded(from_bits(0x3f808000)), from_bits(0x3f800000));
  EXPECT_EQ(rounded(from_bits(0x3f818000)), from_bits(0x3f820000));
  EXPECT_EQ(rounded(from_bits(0x3f808001)), from_bits(0x3f810000));
}

TEST(BFloat16, KeepsZerosInfinitiesAndNotANumber) {
  EXPECT_EQ(BFloat16(0.0f).bits, 0);
  EXPECT_EQ(BFloat16(-0.0f).bits, 0x8000);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(rounded(infinity), infinity);
  EXPECT_EQ(rounded(-infinity), -infinity);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), infinity);  // nearer to 2^128 than to the largest bf16
  for (const std::uint32_t bits : {0x7f800001u, 0x7fffffffu, 0xffc00000u, 0xff80ffffu})
    EXPECT_TRUE(std::isnan(rounded(from_bits(bits)))) << bits;
}

TEST(BFloat16, EveryPatternIsItsOwnFloat) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    BFloat16 value;
    value.bits = static_cast<std::uint16_t>(bits);
    const float wide = static_cast<float>(value);
    if (!std::isnan(wide)) {
      ASSERT_EQ(BFloat16(wide).bits, bits);
    }
  }
}

TEST(Float16, EveryPatternIsWhatIeeeSays) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 1023);
    double want = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    if (exponent == 31) want = std::numeric_limits<double>::infinity();
    if (bits >> 15 != 0) want = -want;
    Float16 value;
    value.bits = static_cast<std::uint16_t>(bits);
    const float got = static_cast<float>(value);
    if (exponent == 31 && fraction != 0) {
      ASSERT_TRUE(std::isnan(got)) << bits;
    } else {
      ASSERT_EQ(static_cast<double>(got), want) << bits;
      ASSERT_EQ(std::signbit(got), bits >> 15 != 0) << bits;
    }
  }
}

TEST(DType, NamesAndSizes) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    EXPECT_EQ(parse_dtype(name_of(dtype), "--dtype"), dtype);
  EXPECT_EQ(size_of(DType::f32), 4);
  EXPECT_EQ(size_of(DType::i32), 4);
  EXPECT_EQ(size_of(DType::bf16), 2);
  EXPECT_EQ(size_of(DType::f16), 2);
  EXPECT_EQ(size_of(DType::fp8), 1);
  for (const char* name : {"", "f64", "i32", "F32", "bf16 "}) EXPECT_THROW(parse_dtype(name, "--dtype"), InputError);
}

TEST(DType, Fp8IsForWeights) {
  EXPECT_THROW(parse_dtype("fp8", "--dtype"), InputError);
  for (const char* name : {"fp8", "float8_e4m3fn"}) EXPECT_EQ(parse_weights_dtype(name, "--weights-dtype"), DType::fp8);
  EXPECT_EQ(parse_weights_dtype("bf16", "--weights-dtype"), DType::bf16);
  for (const char* name : {"fp8_e5m2", "float8_e5m2", "e5m2", "int8"})
    EXPECT_THROW(parse_weights_dtype(name, "--weights-dtype"), InputError);
}

}  // namespace
}  // namespace batchscope
