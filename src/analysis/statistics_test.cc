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
  EXPECT_NEAR(*interval.high - 12, 4.303 * 2 / std::sqrt(3.0), 1e-9);
  EXPECT_NEAR(12 - *interval.low, 4.303 * 2 / std::sqrt(3.0), 1e-9);
}

TEST(Statistics, OneValueHasNoInterval) {
  const std::array<double, 1> values{3};
  EXPECT_FALSE(mean_interval(values).low);
  EXPECT_THROW(mean_interval({}), std::logic_error);
}

TEST(Statistics, StudentsQuantilesFollowTheTables) {
  EXPECT_NEAR(student_t(1), 12.706, 1e-3);
  EXPECT_NEAR(student_t(11), 2.201, 2e-3);
  EXPECT_NEAR(student_t(30), 2.042, 1e-3);
  EXPECT_NEAR(student_t(1'000'000), 1.960, 1e-3);
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
