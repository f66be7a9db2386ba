// Tests of interleaved runs, with times that are made up.
#include "analysis/overhead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace batchscope {
namespace {

using testing::HasSubstr;

std::vector<Arm> order_of(const OverheadPlan& plan) {
  std::vector<Arm> order;
  measure_overhead(plan, [&](Arm arm) {
    order.push_back(arm);
    return 1.0;
  });
  return order;
}

TEST(Overhead, EachRoundHasEachArmOnceBehindOneRunThatDoesNotCount) {
  const auto order = order_of({.pairs = 20, .has_compare = true});
  ASSERT_EQ(order.size(), 1U + 20 * 3);
  EXPECT_EQ(order[0], Arm::without);
  for (std::size_t round = 0; round < 20; ++round)
    EXPECT_TRUE(std::is_permutation(order.begin() + 1 + static_cast<long>(3 * round),
                                    order.begin() + 4 + static_cast<long>(3 * round),
                                    std::vector{Arm::without, Arm::profiler, Arm::compare}.begin()));
}

TEST(Overhead, TheOrderIsDrawnFromTheSeed) {
  EXPECT_EQ(order_of({.pairs = 30, .seed = 4}), order_of({.pairs = 30, .seed = 4}));
  EXPECT_NE(order_of({.pairs = 30, .seed = 4}), order_of({.pairs = 30, .seed = 5}));
  const auto order = order_of({.pairs = 30});
  std::size_t first = 0;  // rounds that begin without
  for (std::size_t round = 0; round < 30; ++round) first += order[1 + 2 * round] == Arm::without;
  EXPECT_GT(first, 5U);
  EXPECT_LT(first, 25U);
}

// Weather that both runs of a round share cancels out.
TEST(Overhead, RatiosAreOfRounds) {
  int runs = 0;
  const auto overhead = measure_overhead({.pairs = 8}, [&](Arm arm) {
    const double weather = 1 + (runs++ + 1) / 2 % 5;
    return weather * (arm == Arm::profiler ? 1.02 : 1.0);
  });
  EXPECT_EQ(overhead.without.size(), 8U);
  ASSERT_EQ(overhead.arms.size(), 1U);
  EXPECT_NEAR(overhead.arms[0].ratio.ratio, 1.02, 1e-9);
  EXPECT_NEAR(*overhead.arms[0].ratio.low, 1.02, 1e-9);
  EXPECT_EQ(verdict(overhead.arms[0].ratio), "slower by 2.0 % (2.0 % to 2.0 %)");
}

TEST(Overhead, OfARateLessIsSlower) {
  const auto overhead = measure_overhead({.pairs = 3, .has_compare = true, .higher_is_better = true}, [](Arm arm) {
    return arm == Arm::without ? 110.0 : arm == Arm::profiler ? 100.0 : 55.0;
  });
  ASSERT_EQ(overhead.arms.size(), 2U);
  EXPECT_NEAR(overhead.arms[0].ratio.ratio, 1.1, 1e-9);
  EXPECT_EQ(overhead.arms[1].arm, Arm::compare);
  EXPECT_NEAR(overhead.arms[1].ratio.ratio, 2.0, 1e-9);
}

TEST(Overhead, AFailedRunEndsTheMeasurement) {
  int runs = 0;
  const auto measure = [&](Arm) -> double {
    if (++runs == 3) throw std::runtime_error("it failed");
    return 1;
  };
  EXPECT_THROW(measure_overhead({}, measure), std::runtime_error);
  EXPECT_EQ(runs, 3);
}

TEST(Overhead, TheVerdictSaysWhatWouldHaveBeenSeen) {
  const auto of = [](double ratio, double low, double high) {
    return verdict({.ratio = ratio, .low = low, .high = high, .pairs = 10});
  };
  EXPECT_EQ(of(1.001, 0.998, 1.004), "no slowdown seen; anything above 0.4 % would have been");
  EXPECT_EQ(of(1.0001, 0.9998, 1.0004), "no slowdown seen; anything above 0.04 % would have been");
  EXPECT_EQ(of(1.05, 1.03, 1.07), "slower by 5.0 % (3.0 % to 7.0 %)");
  EXPECT_THAT(of(0.95, 0.93, 0.97), HasSubstr("faster, by 5.0 % (3.0 % to 7.0 %)"));
  EXPECT_THAT(verdict({.ratio = 1.1, .low = {}, .high = {}, .pairs = 1}), HasSubstr("--pairs 2"));
}

}  // namespace
}  // namespace batchscope
