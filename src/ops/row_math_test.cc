// Tests of the row loops: the exponential against the library's over its range, and inputs at the extremes.
#include "ops/row_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace batchscope {
namespace {

constexpr float row_infinity = std::numeric_limits<float>::infinity();

TEST(RowMath, ExponentialIsWithinFiveRoundingsOfTheTruth) {
  std::vector<float> x;
  for (double at = -87; at <= 88; at += 0.00173) x.push_back(static_cast<float>(at));
  for (const float at : {0.0f, -0.0f, 1e-30f, -1e-30f, 1e-7f, -1e-7f, 0.34657f, -0.34657f, 0.34658f}) x.push_back(at);
  std::vector<float> got = x;
  row_exp(got.data(), std::ssize(got), 0);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = std::exp(static_cast<double>(x[i]));
    worst = std::max(worst, std::abs(got[i] - want) / want);
  }
  EXPECT_LT(worst, 5 * std::ldexp(1.0, -24));  // 3e-7, with fused multiply-add or without
}

TEST(RowMath, ExponentialOfOneMoreElementThanTheLanesIsTheSame) {
  for (std::int64_t count = 0; count < 70; ++count) {
    std::vector<float> row(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i % 13) - 9;
    double sum = 0;
    float largest = -row_infinity;
    for (const float x : row) {
      sum += std::exp(static_cast<double>(x) - 3);
      largest = std::max(largest, x);
    }
    EXPECT_NEAR(row_sum_exp(row.data(), count, 3), sum, 24 * std::ldexp(1.0, -24) * sum) << count;
    EXPECT_EQ(row_largest(row.data(), count), largest) << count;
  }
}

TEST(RowMath, ExponentialVanishesBelowAndNeverGoesNegative) {
  std::vector<float> row{-row_infinity, -3e38f, -1e10f, -104, -88, -87.5f};
  row_exp(row.data(), 6, 0);
  for (const float x : row) {
    EXPECT_GE(x, 0);
    EXPECT_LE(x, 2e-38f);
  }
  std::vector<float> far{3e38f, -3e38f};  // their difference overflows to -row_infinity
  row_exp(far.data(), 2, 3e38f);
  EXPECT_EQ(far[0], 1);
  EXPECT_LE(far[1], 2e-38f);
}

TEST(RowMath, NotANumberIsNotHidden) {
  std::vector<float> row{1, std::nanf(""), 2};
  EXPECT_TRUE(std::isnan(row_sum_exp(row.data(), 3, 2)));
  row_silu(row.data(), 3);
  EXPECT_TRUE(std::isnan(row[1]));
  EXPECT_FALSE(std::isnan(row[0]) || std::isnan(row[2]));
}

TEST(RowMath, LargestTakesInfinities) {
  const std::vector<float> hidden(40, -row_infinity);
  EXPECT_EQ(row_largest(hidden.data(), 40), -row_infinity);
  EXPECT_EQ(row_largest(nullptr, 0), -row_infinity);
  std::vector<float> one = hidden;
  one[33] = -3e38f;
  EXPECT_EQ(row_largest(one.data(), 40), -3e38f);
}

TEST(RowMath, RowsOfOtherDtypesAreWidenedAndWrittenBackRounded) {
  std::vector<BFloat16> row{BFloat16(1.0f), BFloat16(2.0f)};
  float* wide = float_row<0>(row.data(), 2);
  EXPECT_EQ(wide[0], 1.0f);
  EXPECT_EQ(wide[1], 2.0f);
  wide[1] = 3.001f;
  EXPECT_EQ(static_cast<float>(row[1]), 2.0f);
  store_row(wide, row.data(), 2);
  EXPECT_EQ(static_cast<float>(row[0]), 1.0f);
  EXPECT_EQ(static_cast<float>(row[1]), 3.0f);
  wide[0] = 1.0039f;
  round_row<BFloat16>(wide, 2);
  EXPECT_EQ(wide[0], 1.0f);
  std::vector<float> same{1.5f};
  EXPECT_EQ(float_row<0>(same.data(), 1), same.data());
}

TEST(RowMath, NarrowingRoundsEachLaneAsOneElement) {
  std::vector<float> values;
  for (int i = -40; i < 40; ++i) values.push_back(std::ldexp(1.0f + static_cast<float>(i) / 977, i));
  values.insert(values.end(), {0.0f, -0.0f, row_infinity, -row_infinity, 1.00390625f, 1.01171875f, 3.4e38f});
  std::vector<BFloat16> narrow(values.size());
  row_narrow(values.data(), narrow.data(), std::ssize(values));
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(narrow[i].bits, BFloat16(values[i]).bits) << values[i];
}

}  // namespace
}  // namespace batchscope
