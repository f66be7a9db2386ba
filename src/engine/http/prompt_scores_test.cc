// What servers answer, and which tokens are the continuation's.
#include "engine/http/prompt_scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "engine/http/continuation.h"
#include "engine/http/prefix_cache.h"
#include "engine/http/server_kind.h"

namespace batchscope {
namespace {

using testing::HasSubstr;

TEST(PromptScores, BodiesAreTheApis) {
  const ScoredPrompt tokens{.tokens = {1, 5}, .text = "x"}, text{.tokens = {}, .text = "x"};
  const auto echo = scoring_body(ScoringForm::echo, tokens, "m", "s");
  EXPECT_EQ(echo.at("prompt"), nlohmann::json({1, 5}));
  EXPECT_EQ(echo.at("echo"), true);
  EXPECT_EQ(echo.at("max_tokens"), 1);
  EXPECT_EQ(echo.at("model"), "m");
  EXPECT_EQ(echo.at("cache_salt"), "s");
  const auto plain = scoring_body(ScoringForm::prompt_logprobs, text, "", "");
  EXPECT_EQ(plain.at("prompt"), "x");
  EXPECT_FALSE(plain.contains("model") || plain.contains("cache_salt") || plain.contains("echo"));
  EXPECT_EQ(scoring_body(ScoringForm::generate, tokens, "m", "").at("input_ids"), nlohmann::json({1, 5}));
}

TEST(PromptScores, AnswersAreReadWhateverTheyLeaveOut) {
  const PromptScores scores = read_prompt_scores(ScoringForm::echo, R"({"choices": [{"logprobs":
      {"tokens": ["a", "b"], "token_logprobs": [null, -Infinity], "text_offset": [0, 1]}}],
      "usage": {"prompt_tokens": 2, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 1}}})");
  ASSERT_EQ(scores.tokens.size(), 2u);
  EXPECT_FALSE(scores.tokens[0].log_probability);
  EXPECT_TRUE(std::isinf(*scores.tokens[1].log_probability));
  EXPECT_EQ(scores.tokens[1].text, "b");
  EXPECT_EQ(scores.cached_tokens, 1);
  EXPECT_TRUE(read_prompt_scores(ScoringForm::echo, R"({"choices": [{"logprobs": null}]})").tokens.empty());
  for (const char* bad : {"", "{}", R"({"choices": []})", R"({"choices": [{"logprobs": {"token_logprobs": ["x"]}}]})",
                          R"({"choices": [{"logprobs": 3}]})", R"({"choices": 3})"})
    EXPECT_THROW(read_prompt_scores(ScoringForm::echo, bad), InputError) << bad;
  EXPECT_THROW(read_prompt_scores(ScoringForm::prompt_logprobs,
                                  R"({"choices": [{"prompt_logprobs": [null, {"1": {"logprob": -1}, "2": {}}]}]})"),
               InputError);
  EXPECT_THROW(read_prompt_scores(ScoringForm::generate, R"({"meta_info": {"input_token_logprobs": [[-1]]}})"),
               InputError);
}

PromptScores scores_of(const std::vector<std::string>& texts) {
  PromptScores scores;
  for (const std::string& text : texts) {
    ScoredToken& token = scores.tokens.emplace_back();
    token.text = text;
    if (scores.tokens.size() > 1) token.log_probability = -static_cast<double>(scores.tokens.size());
  }
  return scores;
}

TEST(Continuation, IsFoundByTextWhereTokensAreTheServers) {
  ScoreRequest request{.context = "a b.", .continuation = " c d"};
  const auto sum = [&](const std::vector<std::string>& texts, const ScoringMethod& method = {}) {
    return score_continuation(method, request, scores_of(texts)).log_likelihood;
  };
  EXPECT_DOUBLE_EQ(sum({"a", " b", ".", " c", " d"}), -9);
  EXPECT_DOUBLE_EQ(sum({"▁a", "▁b", ".", "▁c", "▁d"}), -9);
  EXPECT_DOUBLE_EQ(sum({"<s>", "a", " b", ".", " c", " d"}), -11);
  EXPECT_DOUBLE_EQ(sum({"a", " b", ".", " c", " d", "x"}, {.lists_generated = true}), -9);
  EXPECT_DOUBLE_EQ(sum({"a", " b", ". c", " d"}), -4);  // a token of both is the context's
  EXPECT_THROW(sum({"a", " b", ". c d"}), Failure);     // nothing is left
  EXPECT_THROW(sum({"a", " b", ".", " e", " f"}), Failure);
  request = {.context = "né", .continuation = " œ é"};
  EXPECT_DOUBLE_EQ(sum({"n", "\xEF\xBF\xBD", "\xEF\xBF\xBD", " œ", " é"}), -9);  // a character in two tokens
  EXPECT_DOUBLE_EQ(sum({"n", "", "é", " œ", "", " é"}), -15);
}

TEST(Continuation, WhatWasCutIsNotWhole) {
  const ScoreRequest request{.context = "a b.", .continuation = " c d"};
  EXPECT_TRUE(score_continuation({}, request, scores_of({"a", " b", ".", " c", " d"})).is_whole);
  EXPECT_FALSE(score_continuation({}, request, scores_of({".", " c", " d"})).is_whole);
}

TEST(Continuation, OtherCountsThanThePromptsAreFailures) {
  const ScoreRequest request{.tokens = {1, 2, 3}, .scored = 1, .context = "a", .continuation = " b"};
  const ScoringMethod tokens{.sends_tokens = true};
  PromptScores scores = scores_of({"<s>", "a", " b"});
  EXPECT_DOUBLE_EQ(score_continuation(tokens, request, scores).log_likelihood, -3);
  scores.prompt_tokens = 2;
  EXPECT_THROW(score_continuation(tokens, request, scores), Failure);
  scores.prompt_tokens = 3;
  scores.tokens[2].id = 4;
  EXPECT_THROW(score_continuation(tokens, request, scores), Failure);
  scores.tokens[2].id = 3;
  scores.tokens[2].log_probability.reset();
  EXPECT_THROW(score_continuation(tokens, request, scores), Failure);
  EXPECT_THROW(score_continuation(tokens, request, scores_of({"a", " b"})), Failure);
  EXPECT_THROW(score_continuation(tokens, request, scores_of({"a", " b", "c", "d"})), Failure);
}

TEST(PrefixCache, CountersOfAllSeriesAddUp) {
  constexpr std::string_view names[] = {"vllm:prefix_cache_hits_total"};
  EXPECT_EQ(
      sum_of_series("# TYPE vllm:prefix_cache_hits_total counter\nvllm:prefix_cache_hits_total{engine=\"0 }\"} 3.0\n"
                    "vllm:prefix_cache_hits_total{engine=\"1\"} 4e0\nvllm:prefix_cache_hits_total_created 5\n",
                    names),
      7);
  EXPECT_FALSE(sum_of_series("other 3\n", names));
  EXPECT_EQ(PrefixCache::doubt(100, 100, 1000), "");
  EXPECT_THAT(PrefixCache::doubt(200, 100, 1000), HasSubstr("200 tokens"));
}

TEST(ServerKind, PagesThatSayNothingAreNobodys) {
  EXPECT_EQ(recognise({}).kind->name, "OpenAI-compatible server");
  EXPECT_EQ(recognise({{"/v1/models", {200, "", "[1]"}}, {"/props", {200, "", "3"}}}).name(),
            "OpenAI-compatible server");
  EXPECT_EQ(recognise({{"/v1/models", {200, "llama.cpp", R"({"data": [{"id": 3}, 4, {"id": "x"}]})"}}}).models.size(),
            1u);
  EXPECT_EQ(recognise({{"/info", {200, "", R"({"max_concurrent_requests": 128, "version": "3"})"}}}).name(), "TGI 3");
}

}  // namespace
}  // namespace batchscope
