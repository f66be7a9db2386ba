// Statistics against values worked out by hand and from tables.
#include "analysis/statistics.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace batchscope {
namespace {

TEST(Statistics, MeanWithStudentsInterval) {
  const std::array<double, 3> values{10, 12, 14};
  const MeanInterval interval = mean_interval(values);
  EXPECT_DOUBLE_EQ(interval.mean, 12);
  EXPECT_NEAR(*interval.high - 12, 4.30265 * 2 / std::sqrt(3.0), 1e-5);
  EXPECT_NEAR(12 - *interval.low, 4.30265 * 2 / std::sqrt(3.0), 1e-5);
}

TEST(Statistics, OneValueHasNoInterval) {
  const std::array<double, 1> values{3};
  EXPECT_FALSE(mean_interval(values).low);
  EXPECT_THROW(mean_interval({}), std::logic_error);
}

TEST(Statistics, StudentsQuantilesFollowTheTables) {
  EXPECT_NEAR(student_t(1), 12.706, 1e-3);
  EXPECT_NEAR(student_t(11), 2.201, 1e-3);
  EXPECT_NEAR(student_t(30), 2.042, 1e-3);
  EXPECT_NEAR(student_t(1'000'000), 1.960, 1e-3);
}

TEST(Statistics, StudentsTailsFollowTheTables) {
  EXPECT_NEAR(student_t_tail(0, 3), 0.5, 1e-12);
  EXPECT_NEAR(student_t_tail(2.896, 8), 0.01, 1e-5);
  EXPECT_NEAR(student_t_tail(-2.896, 8), 0.99, 1e-5);
  EXPECT_NEAR(student_t_tail(31.821, 1), 0.01, 1e-6);
  EXPECT_NEAR(student_t_tail(3.0902, 1e9), 0.001, 1e-6);
  EXPECT_GT(student_t_tail(2, 8.5), student_t_tail(2, 9));  // degrees of freedom with a fraction
}

TEST(Statistics, RatiosArePairedAndGeometric) {
  const std::vector<double> slow{2, 8, 4}, fast{1, 2, 2};
  const RatioInterval ratio = ratio_interval(slow, fast);
  EXPECT_NEAR(ratio.ratio, std::cbrt(16.0), 1e-12);
  EXPECT_EQ(ratio.pairs, 3);
  const double half = 4.3027 * std::log(4.0 / 2) / std::sqrt(3.0) / std::sqrt(3.0);  // sd of log 2, 4, 2 is log 2 / √3
  EXPECT_NEAR(std::log(*ratio.high / ratio.ratio), half, 1e-4);
  EXPECT_NEAR(std::log(ratio.ratio / *ratio.low), half, 1e-4);
  EXPECT_FALSE(ratio_interval(std::array{3.0}, std::array{2.0}).low);
  EXPECT_THROW(ratio_interval(std::array{0.0}, std::array{2.0}), std::logic_error);
}

TEST(Statistics, HolmByHand) {
  EXPECT_EQ(holm(std::array{0.01, 0.04, 0.03}), (std::vector<double>{0.03, 0.06, 0.06}));
  EXPECT_EQ(holm(std::array{0.9, 0.8}), (std::vector<double>{1, 1}));
  EXPECT_TRUE(holm({}).empty());
  // Half of the weight is the first test's: it is looked at with half of the risk, then the others share all of it.
  EXPECT_EQ(holm(std::array{0.02, 0.5, 0.03}, std::array{2.0, 1.0, 1.0}), (std::vector<double>{0.04, 0.5, 0.06}));
  EXPECT_EQ(holm(std::array{0.03, 0.001, 0.5}, std::array{2.0, 1.0, 1.0}), (std::vector<double>{0.045, 0.004, 0.5}));
}

TEST(Statistics, McNemarByHand) {
  EXPECT_DOUBLE_EQ(mcnemar_mid_p(0, 0), 1);
  // One item changed: 2 · 0 + C(1,0)/2 = 0.5. Five one way: C(5,0)/32.
  EXPECT_NEAR(mcnemar_mid_p(1, 0), 0.5, 1e-12);
  EXPECT_NEAR(mcnemar_mid_p(0, 5), 1.0 / 32, 1e-12);
  // 1 against 4: 2 · C(5,0)/32 + C(5,1)/32 = 7/32.
  EXPECT_NEAR(mcnemar_mid_p(1, 4), 7.0 / 32, 1e-12);
  EXPECT_LE(mcnemar_mid_p(3, 3), 1);
  EXPECT_LT(mcnemar_mid_p(5000, 100), 1e-100);
}

TEST(Statistics, AnswersAreComparedItemByItem) {
  const std::vector<Answer> reference{{0, true}, {1, false}, {2, true}, {3, false}};
  const std::vector<Answer> answers{{0, true}, {2, false}, {1, false}, {0, true}};
  const auto paired = compare_answers(reference, answers);
  ASSERT_TRUE(paired);
  EXPECT_EQ(paired->changed, 3);
  EXPECT_EQ(paired->lost, 1);
  EXPECT_EQ(paired->gained, 1);
  EXPECT_FALSE(compare_answers(reference, std::vector<Answer>{{0, true}}));
}

}  // namespace
}  // namespace batchscope
