// Predictions and accuracies from log-likelihoods (task/score.h).
#include "task/score.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"

namespace batchscope {
namespace {

// Of equal ones the first, as numpy's argmax.
std::int64_t best(std::span<const double> values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

// Each value divided by its length; an empty choice never wins, as in numpy, where -x / 0 is -infinity.
template <class Length>
std::int64_t best_per(std::span<const double> values, Length length) {
  std::vector<double> normed;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto by = static_cast<double>(length(i));
    normed.push_back(by > 0 ? values[i] / by : -std::numeric_limits<double>::infinity());
  }
  return best(normed);
}

template <class Prediction>
double accuracy(std::span<const ItemScore> items, const Prediction& prediction) {
  const auto right = std::count_if(items.begin(), items.end(),
                                   [&](const ItemScore& item) { return std::invoke(prediction, item) == item.gold; });
  return static_cast<double>(right) / static_cast<double>(items.size());
}

// Of the mean of n zeros and ones whose mean is `mean`: sqrt(sum (x - m)^2 / (n - 1)) / sqrt(n). Unknown (NaN, null in
// JSON) for a single one.
double standard_error(double mean, std::int64_t n) {
  if (n < 2) return std::numeric_limits<double>::quiet_NaN();
  return std::sqrt(mean * (1 - mean) / static_cast<double>(n - 1));
}

Interval wilson(double mean, std::int64_t count) {
  constexpr double z = 1.959963984540054;  // 95 %
  const auto n = static_cast<double>(count);
  const double centre = (mean + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(mean * (1 - mean) / n + z * z / (4 * n * n));
  return {std::max(centre - half, 0.0), std::min(centre + half, 1.0)};
}

}  // namespace

nlohmann::json to_json(const ItemScore& item) {
  return {{"id", item.id},
          {"gold", item.gold},
          {"ll", item.log_likelihoods},
          {"tokens", item.tokens},
          {"truncated", item.truncated},
          {"pred", item.prediction},
          {"pred_norm", item.prediction_norm}};
}

std::vector<ItemScore> score_items(std::span<const Question> questions, const TaskRequests& requests,
                                   std::span<const double> log_likelihoods) {
  CHECK_EQUAL(requests.tokens.size(), questions.size(), "requests belong to these questions");
  CHECK_EQUAL(log_likelihoods.size(), requests.requests.size(), "each request has its log-likelihood");
  std::vector<ItemScore> items;
  std::size_t next = 0;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    const Question& question = questions[i];
    const auto values = log_likelihoods.subspan(next, question.choices.size());
    const std::span<const ScoreRequest> asked = std::span(requests.requests).subspan(next, values.size());
    for (const double value : values)
      if (std::isnan(value))
        throw Failure("question {}: the model's log-likelihood is not a number; the dtype overflows, try f32 or bf16",
                      question.id.dump());
    ItemScore& item = items.emplace_back();
    item.id = question.id;
    item.gold = question.gold;
    item.log_likelihoods.assign(values.begin(), values.end());
    item.tokens = requests.tokens[i];
    item.truncated = requests.truncated[i];
    item.prediction = best(values);
    item.prediction_norm = best_per(values, [&](std::size_t c) { return code_points(question.choices[c]); });
    item.prediction_bytes = best_per(values, [&](std::size_t c) { return question.choices[c].size(); });
    if (requests.is_tokenised) item.prediction_tokens = best_per(values, [&](std::size_t c) { return asked[c].scored; });
    next += values.size();
  }
  return items;
}

TaskScores summarize(std::span<const ItemScore> items) {
  CHECK_THAT(!items.empty(), "a task without items has no scores");
  TaskScores scores;
  scores.items = static_cast<std::int64_t>(items.size());
  scores.acc = accuracy(items, &ItemScore::prediction);
  scores.acc_norm = accuracy(items, &ItemScore::prediction_norm);
  scores.acc_bytes = accuracy(items, &ItemScore::prediction_bytes);
  if (std::all_of(items.begin(), items.end(), [](const ItemScore& item) { return item.prediction_tokens.has_value(); }))
    scores.acc_tokens = accuracy(items, [](const ItemScore& item) { return *item.prediction_tokens; });
  scores.acc_stderr = standard_error(scores.acc, scores.items);
  scores.acc_norm_stderr = standard_error(scores.acc_norm, scores.items);
  scores.acc_norm_interval = wilson(scores.acc_norm, scores.items);
  return scores;
}

}  // namespace batchscope
