// Gaps between arrivals have the mean and the spread that was asked for, ramps and groups included.
#include "task/arrivals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace batchscope {
namespace {

struct Moments {
  double mean = 0, variation = 0;  // coefficient of variation
};

Moments moments_of_gaps(const std::vector<Nanoseconds>& arrivals) {
  double sum = 0, squares = 0;
  for (std::size_t i = 1; i < arrivals.size(); ++i) {
    const double gap = to_seconds(arrivals[i] - arrivals[i - 1]);
    sum += gap;
    squares += gap * gap;
  }
  const auto count = static_cast<double>(arrivals.size() - 1);
  const double mean = sum / count;
  return {mean, std::sqrt(squares / count - mean * mean) / mean};
}

TEST(Arrivals, BurstinessIsTheShapeOfTheGaps) {
  for (const double burstiness : {0.25, 0.5, 1.0, 4.0}) {
    const Moments moments = moments_of_gaps(draw_arrivals({.rate = 20, .burstiness = burstiness}, 20'001, 7));
    EXPECT_NEAR(moments.mean, 0.05, 0.05 * 4 / std::sqrt(20'000 * burstiness)) << burstiness;
    EXPECT_NEAR(moments.variation, 1 / std::sqrt(burstiness), 0.1 / std::sqrt(burstiness)) << burstiness;
  }
}

TEST(Arrivals, ConstantRateHasNoSpread) {
  const auto arrivals = draw_arrivals({.rate = 4, .burstiness = constant_rate}, 5, 1);
  for (std::size_t i = 0; i < arrivals.size(); ++i)
    EXPECT_NEAR(to_seconds(arrivals[i]), 0.25 * static_cast<double>(i), 1e-9);
}

TEST(Arrivals, RampReachesItsLastRate) {
  const auto arrivals = draw_arrivals({.rate = 10, .burstiness = constant_rate, .last_rate = 30}, 1001, 1);
  EXPECT_NEAR(1 / to_seconds(arrivals[1] - arrivals[0]), 10, 0.2);
  EXPECT_NEAR(1 / to_seconds(arrivals[1000] - arrivals[999]), 30, 0.2);
  EXPECT_NEAR(to_seconds(arrivals.back()), 1000.0 / 20, 0.2);  // at the mean rate
}

TEST(Arrivals, RampMayFallAndGoOnBehindItsEnd) {
  const auto arrivals = draw_arrivals({.rate = 30, .burstiness = 0.2, .last_rate = 1}, 300, 3);
  for (std::size_t i = 1; i < arrivals.size(); ++i) EXPECT_GE(arrivals[i], arrivals[i - 1]);
}

TEST(Arrivals, GroupsComeTogetherAtTheRateOfTheirRequests) {
  const auto arrivals = draw_arrivals({.rate = 100, .burstiness = constant_rate, .together = 10}, 40, 1);
  EXPECT_EQ(arrivals[0], arrivals[9]);
  EXPECT_NEAR(to_seconds(arrivals[10]), 0.1, 1e-9);
  EXPECT_EQ(arrivals[30], arrivals[39]);
}

TEST(Arrivals, SeedDrawsThemAgain) {
  EXPECT_EQ(draw_arrivals({.rate = 3, .burstiness = 0.5}, 50, 4), draw_arrivals({.rate = 3, .burstiness = 0.5}, 50, 4));
  EXPECT_NE(draw_arrivals({.rate = 3, .burstiness = 0.5}, 50, 4), draw_arrivals({.rate = 3, .burstiness = 0.5}, 50, 5));
  EXPECT_THROW(draw_arrivals({.rate = 1e-9}, 50, 4), InputError);
}

}  // namespace
}  // namespace batchscope
