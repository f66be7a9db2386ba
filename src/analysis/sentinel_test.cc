// The sentinel's rates: false alarms where noise is all that rounding may do, and alarms where answers are wrong.
#include "analysis/sentinel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace batchscope {
namespace {

constexpr double tolerance = 0.1;

// Items of four choices as a model has them, and answers that differ by noise of that many tolerances.
std::vector<SentinelItem> items_with_noise(std::mt19937_64& random, double tolerances, int count = 32) {
  std::normal_distribution<double> normal;
  std::vector<SentinelItem> items(static_cast<std::size_t>(count));
  for (SentinelItem& item : items)
    for (int choice = 0; choice < 4; ++choice) {
      const double value = -std::abs(30 + 15 * normal(random));
      item.reference.push_back(value);
      item.here.push_back(value + tolerances * tolerance * std::sqrt(1 + std::abs(value)) * normal(random));
    }
  return items;
}

TEST(Sentinel, RaisesFalseAlarmsAtTheStatedRate) {
  std::mt19937_64 random(1);
  int alarms = 0, at_half = 0;
  constexpr int runs = 4000;
  for (int run = 0; run < runs; ++run)  // as much as rounding may do at most
    alarms += watch(items_with_noise(random, 1), tolerance).departs() ? 1 : 0;
  for (int run = 0; run < runs / 10; ++run)
    at_half += watch(items_with_noise(random, 0.5), tolerance).departs() ? 1 : 0;
  EXPECT_LE(alarms, static_cast<int>(runs * sentinel_alarm_rate));
  EXPECT_EQ(at_half, 0);
}

TEST(Sentinel, SeesAnswersByChanceAtOnce) {
  std::mt19937_64 random(2);
  for (int run = 0; run < 200; ++run) {
    std::vector<SentinelItem> items = items_with_noise(random, 0);
    const auto others = items_with_noise(random, 0);
    for (std::size_t i = 0; i < items.size(); ++i) items[i].here = others[i].reference;
    const SentinelVerdict verdict = watch(items, tolerance);
    ASSERT_TRUE(verdict.departs());
    EXPECT_LE(*verdict.alarm_at, 6);
    EXPECT_GT(verdict.changed, 10);
    EXPECT_GT(verdict.widest_change, 1);
    EXPECT_GE(verdict.evidence, 1 / sentinel_alarm_rate);
  }
}

TEST(Sentinel, SeesAFewWrongItemsAmongMany) {
  std::mt19937_64 random(3);
  for (int run = 0; run < 200; ++run) {
    std::vector<SentinelItem> items = items_with_noise(random, 0.1);
    for (const std::size_t wrong : {9u, 30u}) items[wrong].here[0] -= 20;
    EXPECT_EQ(watch(items, tolerance).alarm_at, 31);
  }
}

TEST(Sentinel, OneOddItemIsNoDeparture) {
  std::mt19937_64 random(4);
  std::vector<SentinelItem> items = items_with_noise(random, 0.1);
  items[0].here[0] = -std::numeric_limits<double>::infinity();
  EXPECT_FALSE(watch(items, tolerance).departs());
  items[1].here[2] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(watch(items, tolerance).departs());
}

TEST(Sentinel, AChangedAnswerCountsByItsMargin) {
  // Near ties change sides by rounding; the same number of changed answers with wide margins is a departure.
  const auto items_with_margin = [](double margin) {
    return std::vector<SentinelItem>(8, {.reference = {-20, -20 - margin, -30, -31}, .here = {-20 - margin, -20, -30, -31}});
  };
  const SentinelVerdict narrow = watch(items_with_margin(0.1), tolerance), wide = watch(items_with_margin(5), tolerance);
  EXPECT_EQ(narrow.changed, 8);
  EXPECT_EQ(wide.changed, 8);
  EXPECT_FALSE(narrow.departs());
  EXPECT_TRUE(wide.departs());
  EXPECT_DOUBLE_EQ(wide.widest_change, 5);
}

TEST(Sentinel, NothingIsNoDeparture) {
  const SentinelVerdict verdict = watch({}, tolerance);
  EXPECT_EQ(verdict.items, 0);
  EXPECT_FALSE(verdict.departs());
}

}  // namespace
}  // namespace batchscope
