// Requests out of JSON: what is taken, and what is refused by name.
#include "openai/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchscope::openai {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& body, bool is_chat = false) {
  try {
    is_chat ? parse_chat(body) : parse_completion(body);
    return "no refusal";
  } catch (const Refusal& refused) {
    EXPECT_EQ(refused.status, 400);
    return refused.what();
  }
}

TEST(Request, PromptsAreTextsOrIdsOneOrSeveral) {
  EXPECT_EQ(parse_completion(R"({"prompt": "a"})").prompts[0].text, "a");
  EXPECT_EQ(parse_completion(R"({"prompt": ["a", "b"]})").prompts[1].text, "b");
  EXPECT_EQ(parse_completion(R"({"prompt": [5, 6]})").prompts[0].ids, (std::vector<std::int32_t>{5, 6}));
  EXPECT_EQ(parse_completion(R"({"prompt": [[5], [6, 7]]})").prompts[1].ids, (std::vector<std::int32_t>{6, 7}));
  for (const char* bad : {R"({})", R"({"prompt": null})", R"({"prompt": []})", R"({"prompt": [[]]})",
                          R"({"prompt": ["a", 1]})", R"({"prompt": [1, "a"]})", R"({"prompt": [-1]})",
                          R"({"prompt": [1.5]})", R"({"prompt": 3})", R"({"prompt": [99999999999]})"})
    EXPECT_THAT(refusal(bad), HasSubstr("prompt: ")) << bad;
}

TEST(Request, FieldsAreReadAndHaveTheUsualPresets) {
  const Question usual = parse_completion(R"({"prompt": "a"})");
  EXPECT_EQ(usual.max_tokens, 16);
  EXPECT_EQ(usual.sampling.temperature, 1);
  EXPECT_FALSE(usual.has_seed || usual.stream || usual.echo || usual.log_probabilities);
  const Question all = parse_completion(
      R"({"model": "m", "prompt": "a", "max_tokens": 0, "temperature": 0.5, "top_p": 0.25, "seed": -3, "n": 2,
          "stop": "x", "echo": true, "logprobs": 1, "stream": true, "stream_options": {"include_usage": true,
          "continuous_usage_stats": true}, "ignore_eos": true, "return_token_ids": true, "user": "u", "top_k": -1})");
  EXPECT_EQ(all.model, "m");
  EXPECT_EQ(all.max_tokens, 0);
  EXPECT_EQ(all.sampling.top_p, 0.25);
  EXPECT_TRUE(all.has_seed && all.echo && all.stream && all.wants_usage && all.wants_usage_always && all.ignores_eos);
  EXPECT_EQ(all.log_probabilities, 1);
  EXPECT_EQ(all.stop, std::vector<std::string>{"x"});
  const Question chat = parse_chat(
      R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
          "max_completion_tokens": 5, "logprobs": true, "top_logprobs": 1, "min_tokens": 3})");
  EXPECT_EQ(chat.messages[0]["content"], "ab");
  EXPECT_EQ(chat.max_tokens, 5);
  EXPECT_EQ(chat.min_tokens, 3);
  EXPECT_EQ(chat.log_probabilities, 1);
}

TEST(Request, WhatIsNotSupportedIsRefusedByName) {
  const auto of = [](const std::string& more) { return refusal(R"({"prompt": "a", )" + more + "}"); };
  EXPECT_THAT(of(R"("no_such": 1)"), HasSubstr("no_such: this server does not know"));
  EXPECT_EQ(of(R"("no_such": null)"), "no refusal");
  EXPECT_THAT(of(R"("logprobs": 5)"), HasSubstr("at most 1"));
  EXPECT_THAT(of(R"("top_k": 40)"), HasSubstr("top_k: not supported"));
  EXPECT_THAT(of(R"("presence_penalty": 0.5)"), HasSubstr("presence_penalty: not supported"));
  EXPECT_THAT(of(R"("temperature": -1)"), HasSubstr("temperature"));
  EXPECT_THAT(of(R"("top_p": 0)"), HasSubstr("top_p"));
  EXPECT_THAT(of(R"("n": 129)"), HasSubstr("n: "));
  EXPECT_THAT(of(R"("max_tokens": -1)"), HasSubstr("max_tokens"));
  EXPECT_THAT(of(R"("max_tokens": 2, "min_tokens": 3)"), HasSubstr("min_tokens"));
  EXPECT_THAT(of(R"("stop": [""])"), HasSubstr("stop"));
  EXPECT_THAT(of(R"("stream_options": {"include_usage": true})"), HasSubstr("stream"));
  EXPECT_THAT(of(R"("stream": true, "stream_options": {"x": true})"), HasSubstr("x is not known"));
  EXPECT_THAT(refusal("{"), HasSubstr("request:1:"));
  EXPECT_THAT(refusal("[1]"), testing::Ne("no refusal"));
  EXPECT_THAT(refusal(R"({"messages": []})", true), HasSubstr("messages"));
  EXPECT_THAT(refusal(R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})", true),
              HasSubstr("text"));
  EXPECT_THAT(refusal(R"({"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function"}]})", true),
              HasSubstr("tools: not supported"));
}

TEST(Request, RefusalsAreInOpenAIsForm) {
  const auto json = nlohmann::json::parse(to_json(Refusal(429, "too many", "queue_full", "")));
  EXPECT_EQ(json["error"]["message"], "too many");
  EXPECT_EQ(json["error"]["type"], "rate_limit_error");
  EXPECT_EQ(json["error"]["code"], "queue_full");
  EXPECT_TRUE(json["error"]["param"].is_null());
}

}  // namespace
}  // namespace batchscope::openai
