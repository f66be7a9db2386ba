// Samples along the lengths: each question has the same chance, and each length its share.
#include "task/sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace batchscope {
namespace {

// Of lengths that the order of the task does not show.
std::vector<Question> questions_of_many_lengths(std::int64_t count) {
  std::vector<Question> questions;
  for (std::int64_t i = 0; i < count; ++i)
    questions.push_back(
        {.id = i, .context = std::string(static_cast<std::size_t>(i * 37 % count + 1), 'x'), .choices = {"a", "b"}});
  return questions;
}

TEST(SampleByLength, HasAllLengthsInTheirProportion) {
  const auto questions = questions_of_many_lengths(1000);
  const auto chosen = sample_by_length(questions, 50, 7);
  ASSERT_EQ(chosen.size(), 50u);
  EXPECT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
  std::vector<std::size_t> lengths;
  for (const std::size_t index : chosen) lengths.push_back(questions[index].context.size());
  std::sort(lengths.begin(), lengths.end());
  for (std::size_t i = 1; i < lengths.size(); ++i) EXPECT_EQ(lengths[i] - lengths[i - 1], 20u);
  EXPECT_EQ(sample_by_length(questions, 50, 7), chosen);
  EXPECT_NE(sample_by_length(questions, 50, 8), chosen);
}

TEST(SampleByLength, EachQuestionHasTheSameChance) {
  const auto questions = questions_of_many_lengths(25);
  std::vector<int> times(questions.size(), 0);
  for (std::uint64_t seed = 0; seed < 2000; ++seed)
    for (const std::size_t index : sample_by_length(questions, 10, seed)) ++times[index];
  for (const int count : times) EXPECT_NEAR(count, 800, 120);
}

TEST(SampleByLength, OfLengthsAloneAndOfFewQuestions) {
  std::vector<Question> questions(4);
  for (std::size_t i = 0; i < 4; ++i) questions[i].lengths = {1, 10 - static_cast<std::int64_t>(i), 3};
  EXPECT_EQ(sample_by_length(questions, 2, 0).size(), 2u);
  EXPECT_EQ(sample_by_length(questions, 9, 0), (std::vector<std::size_t>{0, 1, 2, 3}));
}

}  // namespace
}  // namespace batchscope
