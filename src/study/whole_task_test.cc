// The whole's time from a sample's, on batches whose cost is known: as often within its interval as it says.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "analysis/extrapolation.h"
#include "engine/batch.h"
#include "study/axes.h"
#include "study/cell.h"
#include "task/sample.h"

namespace batchscope {
namespace {

// Like HellaSwag's: four choices, inputs of 20 to 170 tokens.
std::vector<Question> questions_like_hellaswag(std::int64_t count) {
  std::mt19937_64 random(5);
  std::vector<Question> questions;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto context = static_cast<std::int64_t>(15 + random() % 80);
    Question question{.id = i, .choices = {"a", "b", "c", "d"}, .lengths = {context}};
    for (int choice = 0; choice < 4; ++choice)
      question.lengths.push_back(context + 5 + static_cast<std::int64_t>(random() % 70));
    questions.push_back(std::move(question));
  }
  return questions;
}

std::vector<std::int64_t> widths_of_batches(std::span<const Question> questions, std::int64_t batch) {
  std::vector<ScoreRequest> requests;
  for (const Question& question : questions)
    for (std::size_t choice = 1; choice < question.lengths.size(); ++choice)
      requests.push_back({0, std::vector<std::int32_t>(static_cast<std::size_t>(question.lengths[choice])), 1});
  std::vector<std::int64_t> widths;
  for (const RequestIndices& one : form_batches(requests, batch, Packing::padded))
    widths.push_back(std::ssize(requests[one.front()].tokens) - 1);
  return widths;
}

// Launches, products and attention of a padded batch.
double cost_of(std::int64_t batch, std::int64_t width) {
  const auto tokens = static_cast<double>(batch * width);
  return 5e-3 + 5e-5 * tokens + 1e-7 * tokens * static_cast<double>(width);
}

TEST(WholeTaskOfASample, LiesInItsInterval) {
  const auto questions = questions_like_hellaswag(4000);
  for (const std::int64_t batch : {1, 8, 64}) {
    const auto widths = widths_of_batches(questions, batch);
    double truth = 0;
    for (const std::int64_t width : widths) truth += cost_of(batch, width);
    const std::int64_t tokens = batch * std::accumulate(widths.begin(), widths.end(), std::int64_t{0});
    constexpr int tries = 40;
    int within = 0;
    double bias = 0, half_width = 0;
    for (std::uint64_t seed = 0; seed < tries; ++seed) {
      std::vector<Question> sample;
      for (const std::size_t index : sample_by_length(questions, 96, seed)) sample.push_back(questions[index]);
      std::mt19937_64 random(seed);
      std::vector<SampledBatch> ran;
      double seconds = 0;
      for (const std::int64_t width : widths_of_batches(sample, batch)) {
        const double noise = 0.98 + 0.04 * static_cast<double>(random() >> 11) * 0x1p-53;
        ran.push_back({batch * width, from_seconds(cost_of(batch, width) * noise)});
        seconds += to_seconds(ran.back().time);
      }
      const WholeTime whole = whole_time(seconds, ran, std::ssize(widths), tokens);
      within += truth >= *whole.low && truth <= *whole.high ? 1 : 0;
      bias += (whole.seconds / truth - 1) / tries;
      half_width += (*whole.high / whole.seconds - 1) / tries;
    }
    EXPECT_GE(within, tries * 9 / 10) << batch;
    EXPECT_NEAR(bias, 0, 0.03) << batch;
    EXPECT_LT(half_width, batch == 64 ? 0.3 : 0.03) << batch;
  }
}

TEST(WholeTaskOfASample, IsInTheResult) {
  const CellSpec spec = cell_of({{"parallel", "tp2"}, {"sample", "12"}, {"sample-seed", "3"}});
  const PreparedTask task = prepare_task(spec);
  EXPECT_EQ(task.questions.size(), 12u);
  ASSERT_TRUE(task.whole);
  EXPECT_GT(task.whole->items, 100);
  EXPECT_EQ(std::ssize(task.whole->requests) % task.whole->items, 0);
  // The first of them, for who compares answers.
  const PreparedTask first =
      prepare_task(cell_of({{"parallel", "tp2"}, {"sample", "12"}, {"sample-seed", "3"}, {"limit", "2"}}));
  ASSERT_EQ(first.questions.size(), 2u);
  EXPECT_EQ(first.questions[1].id, task.questions[1].id);
  EXPECT_NE(task_key(spec), task_key(cell_of({{"parallel", "tp2"}, {"sample", "12"}})));
  EXPECT_EQ(to_json(cell_spec_from_json(to_json(spec))), to_json(spec));
  EXPECT_THROW(check(cell_of({{"sample", "2"}, {"prompt-tokens", "2"}, {"output-tokens", "2"}})), InputError);
}

}  // namespace
}  // namespace batchscope
