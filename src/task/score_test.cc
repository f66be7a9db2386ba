// Requests and scores: split by count, cut on the left, and lm-evaluation-harness's own results.
#include "task/score.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/shared_data.h"
#include "task/test_tokenizer.h"

namespace batchscope {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

Question question(const std::string& context, std::vector<std::string> choices) {
  return {.id = 7, .context = context, .choices = std::move(choices)};
}

std::vector<json> lines_of(const std::filesystem::path& path) {
  std::vector<json> lines;
  std::istringstream in(read_file(path));
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  return lines;
}

TEST(Requests, AreSplitByCount) {
  const std::vector questions{question("ab", {"c", "def"})};
  const TaskRequests task = make_requests(questions, ByteTokenizer(true), 100);
  ASSERT_EQ(task.requests.size(), 2u);
  EXPECT_EQ(task.requests[0].tokens, (std::vector<std::int32_t>{256, 'a', 'b', ' ', 'c'}));
  EXPECT_EQ(task.requests[0].scored, 2);
  EXPECT_EQ(task.requests[1].scored, 4);
  EXPECT_EQ(task.tokens[0], (std::vector<std::int64_t>{3, 5, 7}));
  EXPECT_EQ(task.counts.requested, 4 + 6);
  EXPECT_EQ(task.counts.truncated, 0);
  EXPECT_FALSE(task.truncated[0]);
}

TEST(Requests, SpaceBehindTheContextBelongsToTheContinuation) {
  const std::vector questions{question("ab \t", {"c"})};
  const TaskRequests task = make_requests(questions, ByteTokenizer(true), 100);
  EXPECT_EQ(task.tokens[0][0], 3);                // BOS, a, b
  EXPECT_EQ(task.requests[0].scored, 2 + 1 + 1);  // the space, the delimiter, the choice
}

TEST(Requests, LoseTokensOnTheLeft) {
  const std::vector questions{question("abcdef", {"gh", "g"})};  // 1 + 6 + 3 and 1 + 6 + 2 tokens
  const TaskRequests task = make_requests(questions, ByteTokenizer(true), 8);
  EXPECT_EQ(task.requests[0].tokens.size(), 9u);
  EXPECT_EQ(task.requests[0].tokens.front(), 'a');  // BOS is gone
  EXPECT_EQ(task.requests[0].scored, 3);
  EXPECT_EQ(task.requests[1].tokens.front(), 256);
  EXPECT_EQ(task.counts.requested, 9 + 8);
  EXPECT_EQ(task.counts.truncated, 1);
  EXPECT_TRUE(task.truncated[0]);
  const TaskRequests harder = make_requests(questions, ByteTokenizer(true), 2);
  EXPECT_EQ(harder.requests[0].tokens, (std::vector<std::int32_t>{' ', 'g', 'h'}));
  EXPECT_EQ(harder.requests[0].scored, 2);  // of three: nothing is left to predict the space from
  EXPECT_EQ(harder.counts.truncated, 7 + 6);
}

TEST(Requests, AlwaysHaveSomethingToScore) {
  rc::check("truncation", [] {
    const auto size = [](int low, int high) { return static_cast<std::size_t>(*rc::gen::inRange(low, high)); };
    const std::vector questions{question(std::string(size(0, 20), 'a'), {std::string(size(0, 20), 'b'), "c"})};
    const std::int64_t max_tokens = *rc::gen::inRange(1, 30);
    const TaskRequests task = make_requests(questions, ByteTokenizer(true), max_tokens);
    std::int64_t inputs = 0;
    for (const ScoreRequest& request : task.requests) {
      const auto length = static_cast<std::int64_t>(request.tokens.size());
      RC_ASSERT(request.scored >= 1);
      RC_ASSERT(request.scored < length);
      RC_ASSERT(length - 1 <= max_tokens);
      inputs += length - 1;
    }
    RC_ASSERT(inputs == task.counts.requested - task.counts.truncated);
    RC_ASSERT(task.truncated[0] == (task.counts.truncated > 0));
  });
}

TEST(Requests, WhatCannotBeScoredIsRefusedByItem) {
  const auto error = [](const Question& item, bool bos) -> std::string {
    try {
      make_requests(std::vector{item}, ByteTokenizer(bos), 10);
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  };
  Question bare = question("ab", {"c", ""});
  bare.delimiter = "";
  EXPECT_THAT(error(bare, true), AllOf(HasSubstr("question 7"), HasSubstr("choice 1")));
  EXPECT_THAT(error(question("", {"a", "b"}), false), HasSubstr("context has no token"));
  EXPECT_EQ(error(question("", {"a", "b"}), true), "no error");
}

// Without BOS an empty context is the prefix token, as in lm-evaluation-harness, unless the choice begins with it.
TEST(Requests, AnEmptyContextIsThePrefixToken) {
  ByteTokenizer tokenizer(false);
  tokenizer.prefix_ = 200;
  const TaskRequests task = make_requests(std::vector{question("", {"a", "bc"})}, tokenizer, 10);
  EXPECT_EQ(task.tokens[0], (std::vector<std::int64_t>{1, 3, 4}));
  EXPECT_EQ(task.requests[0].tokens, (std::vector<std::int32_t>{200, ' ', 'a'}));
  EXPECT_EQ(task.requests[0].scored, 2);
  tokenizer.prefix_ = ' ';
  EXPECT_EQ(make_requests(std::vector{question("", {"a", "bc"})}, tokenizer, 10).requests[0].tokens,
            (std::vector<std::int32_t>{' ', 'a'}));
}

TaskRequests requests_of(const std::vector<Question>& questions) {
  return make_requests(questions, ByteTokenizer(true), 1000);
}

TEST(Scores, PredictByEachNorm) {
  // Lengths: 4 and 2 code points, 4 and 6 bytes, 5 and 7 tokens.
  const std::vector questions{question("x", {"abcd", "\u65e5\u672c"})};
  const auto items = score_items(questions, requests_of(questions), std::vector{-10.0, -9.0});
  EXPECT_EQ(items[0].prediction, 1);
  EXPECT_EQ(items[0].prediction_norm, 0);   // -2.5 against -4.5
  EXPECT_EQ(items[0].prediction_bytes, 1);  // -2.5 against -1.5
  EXPECT_EQ(items[0].prediction_tokens, 1);
}

TEST(Scores, TiesGoToTheFirstAndEmptyChoicesLose) {
  const std::vector questions{question("x", {"ab", "cd", ""})};
  const auto items = score_items(questions, requests_of(questions), std::vector{-1.0, -1.0, -0.5});
  EXPECT_EQ(items[0].prediction, 2);
  EXPECT_EQ(items[0].prediction_norm, 0);
  EXPECT_EQ(items[0].prediction_bytes, 0);
}

TEST(Scores, ItemsMayHaveDifferentNumbersOfChoices) {
  std::vector questions{question("x", {"a", "b"}), question("y", {"a", "b", "c"}), question("z", {"a", "b"})};
  questions[1].gold = 2;
  const auto items = score_items(questions, requests_of(questions), std::vector<double>{-1, -2, -3, -3, -1, -2, -1});
  EXPECT_EQ(items[1].log_likelihoods, (std::vector<double>{-3, -3, -1}));
  EXPECT_EQ(items[2].prediction, 1);
  EXPECT_DOUBLE_EQ(summarize(items).acc, 2.0 / 3);
  EXPECT_THROW(score_items(questions, requests_of(questions), std::vector<double>(6)), std::logic_error);
}

TEST(Scores, NotANumberIsAFailureNotAnAnswer) {
  const std::vector questions{question("x", {"a", "b"})};
  EXPECT_THROW(score_items(questions, requests_of(questions), std::vector{-1.0, std::nan("")}), Failure);
  const double minus_infinity = -std::numeric_limits<double>::infinity();
  EXPECT_EQ(score_items(questions, requests_of(questions), std::vector{minus_infinity, -1.0})[0].prediction, 1);
}

TEST(Scores, SummaryHasTheTextbooksErrors) {
  std::vector<ItemScore> items(400);
  for (std::size_t i = 0; i < items.size(); ++i) {
    items[i].prediction = i % 2 == 0 ? 0 : 1;
    items[i].prediction_norm = i < 300 ? 0 : 1;
  }
  const TaskScores scores = summarize(items);
  EXPECT_EQ(scores.items, 400);
  EXPECT_DOUBLE_EQ(scores.acc, 0.5);
  EXPECT_DOUBLE_EQ(scores.acc_norm, 0.75);
  EXPECT_NEAR(scores.acc_stderr, std::sqrt(400 * 0.25 / 399) / std::sqrt(400), 1e-15);
  EXPECT_NEAR(scores.acc_norm_interval.low, 0.7053229, 1e-7);  // of 300 in 400, from the published formula
  EXPECT_NEAR(scores.acc_norm_interval.high, 0.7899210, 1e-7);
  EXPECT_TRUE(std::isnan(summarize(std::span(items).first(1)).acc_stderr));
  EXPECT_EQ(summarize(std::span(items).first(100)).acc_norm_interval.high, 1);
  EXPECT_THROW(summarize({}), std::logic_error);
}

TEST(Scores, AnItemIsOneJsonObject) {
  const std::vector questions{question("x", {"a", "b"})};
  const json item = to_json(score_items(questions, requests_of(questions), std::vector{-1.5, -2.0})[0]);
  EXPECT_EQ(item.dump(),
            R"({"gold":0,"id":7,"ll":[-1.5,-2.0],"pred":0,"pred_norm":0,"tokens":[2,4,4],"truncated":false})");
}

TEST(Golden, TokenCountsAndPredictionsAreTheHarnesss) {
  NEEDS_SHARED_DATA(data, "hellaswag/hellaswag_val_raw1000.jsonl");
  NEEDS_SHARED_DATA(folder, "models/stories260K-hf");
  NEEDS_SHARED_DATA(golden, "golden/stories260K.raw1000.jsonl");
  const auto questions = read_questions(data);
  const auto expected = lines_of(golden);
  ASSERT_EQ(questions.size(), expected.size());
  const TaskRequests task = make_requests(questions, *open_tokenizer(folder), 100000);
  std::vector<double> log_likelihoods;
  for (const json& item : expected)
    for (const json& value : item["ll"]) log_likelihoods.push_back(value.get<double>());
  const auto items = score_items(questions, task, log_likelihoods);
  for (std::size_t i = 0; i < items.size(); ++i) {
    json ours = to_json(items[i]);
    ours.erase("truncated");
    EXPECT_EQ(ours, expected[i]);
  }
}

TEST(Golden, QuestionsAreTheHarnesssTexts) {
  NEEDS_SHARED_DATA(data, "hellaswag/hellaswag_val_raw1000.jsonl");
  NEEDS_SHARED_DATA(model, "models/llama-tokenizer");
  NEEDS_SHARED_DATA(lengths, "hellaswag/llama_token_lengths.json");
  // The lengths stand in the order of all 10 042 items and carry no id: each of ours must be among them.
  std::vector<std::vector<std::int64_t>> known = json::parse(read_file(lengths));
  std::sort(known.begin(), known.end());
  const TaskRequests task = make_requests(read_questions(data), *open_tokenizer(model), 100000);
  std::size_t missing = 0;
  for (const auto& tokens : task.tokens) missing += std::binary_search(known.begin(), known.end(), tokens) ? 0 : 1;
  EXPECT_EQ(missing, 0u);
}

}  // namespace
}  // namespace batchscope
