// The mock's instants, counts, queue and settings; what it sends is read by this program's own client elsewhere.
#include "load/mock_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace batchscope::load {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

http::Request completion(const std::string& body, const std::string& path = "/v1/completions") {
  return {.method = "POST", .target = path, .body = body};
}

std::vector<http::ScriptStep> steps_of(const http::Script& script) {
  std::vector<http::ScriptStep> steps;
  while (steps.size() < 10'000) {
    auto step = script();
    if (!step) break;
    steps.push_back(std::move(*step));
  }
  return steps;
}

nlohmann::json body_of(const http::Script& script) {
  std::string text;
  for (const auto& step : steps_of(script)) text += step.bytes;
  return nlohmann::json::parse(text.substr(text.find("\r\n\r\n") + 4));
}

int status_of(const http::Script& script) { return std::stoi(steps_of(script).front().bytes.substr(9, 3)); }

TEST(MockServer, TokensComeAtTheirInstants) {
  MockModel model({.ttft = milliseconds(50), .itl = milliseconds(10), .per_prompt_token = milliseconds(1)});
  const auto steps =
      steps_of(model.answer(completion(R"({"prompt":"abc","max_tokens":3,"stream":true})"), milliseconds(1000)));
  ASSERT_EQ(steps.size(), 5U);  // headers, three tokens, the end
  EXPECT_EQ(steps[1].at, milliseconds(1053));
  EXPECT_EQ(steps[2].at, milliseconds(1063));
  EXPECT_EQ(steps[3].at, milliseconds(1073));
  EXPECT_EQ(steps[4].at, milliseconds(1073));
  EXPECT_THAT(steps[4].bytes, HasSubstr("[DONE]"));
}

TEST(MockServer, ChunksGoOutWithTheirLastToken) {
  MockModel model({.ttft = milliseconds(5), .itl = milliseconds(1), .tokens_per_chunk = 4});
  const auto steps = steps_of(model.answer(
      completion(R"({"prompt":[1],"max_tokens":10,"stream":true,"return_token_ids":true})"), Nanoseconds(0)));
  ASSERT_EQ(steps.size(), 6U);  // headers, 1, 4, 4, 1 tokens, the end
  EXPECT_EQ(steps[2].at, milliseconds(9));
  EXPECT_THAT(steps[2].bytes, HasSubstr(R"("token_ids":[1001,1002,1003,1004])"));
}

TEST(MockServer, SlotsServeInOrderAndQueuesAreBounded) {
  MockModel model({.ttft = milliseconds(10), .itl = milliseconds(10), .slots = 1, .queue = 1});
  const auto ask = [&] {
    return model.answer(completion(R"({"prompt":"a","max_tokens":2,"stream":true})"), milliseconds(0));
  };
  EXPECT_EQ(steps_of(ask())[1].at, milliseconds(10));
  EXPECT_EQ(steps_of(ask())[1].at, milliseconds(30));  // begins when the first is over, at 20 ms
  EXPECT_EQ(status_of(ask()), 429);
}

TEST(MockServer, EchoHasALogProbabilityForEachTokenOfThePrompt) {
  MockModel model({});
  const auto body = body_of(
      model.answer(completion(R"({"prompt":[5,6,7],"max_tokens":1,"echo":true,"logprobs":1})"), Nanoseconds(0)));
  const auto& values = body["choices"][0]["logprobs"]["token_logprobs"];
  ASSERT_EQ(values.size(), 4U);
  EXPECT_TRUE(values[0].is_null());
  EXPECT_DOUBLE_EQ(values[1].get<double>(), mock_log_probability(5, 6));
  EXPECT_EQ(body["usage"]["prompt_tokens"], 3);
}

TEST(MockServer, ProseIsLikelierThanItsLettersShuffled) {
  const auto score = [](std::string_view text) {
    double sum = 0;
    for (std::size_t i = 1; i < text.size(); ++i) sum += mock_log_probability(text[i - 1], text[i]);
    return sum;
  };
  EXPECT_GT(score("the capital of France is Paris, and it lies on the Seine"),
            score("hte apctial fo rFcnae si sPira, dna ti sile no eht nieSe"));
  EXPECT_NE(mock_log_probability(1000, 1001), mock_log_probability(1001, 1000));
}

TEST(MockServer, BadRequestsAreToldWhatIsWrong) {
  MockModel model({});
  EXPECT_EQ(status_of(model.answer(completion("{"), Nanoseconds(0))), 400);
  EXPECT_EQ(status_of(model.answer(completion(R"({"max_tokens":3})"), Nanoseconds(0))), 400);
  EXPECT_EQ(status_of(model.answer(completion(R"({"prompt":"a","n":2})"), Nanoseconds(0))), 400);
  EXPECT_EQ(status_of(model.answer(completion(R"({"prompt":[-1]})"), Nanoseconds(0))), 400);
  EXPECT_EQ(status_of(model.answer(completion("{}", "/v1/nothing"), Nanoseconds(0))), 404);
  EXPECT_EQ(status_of(model.answer({.method = "GET", .target = "/v1/completions"}, Nanoseconds(0))), 405);
  EXPECT_EQ(body_of(model.answer({.method = "GET", .target = "/v1/models"}, Nanoseconds(0)))["data"][0]["id"], "mock");
}

TEST(MockServer, ScenariosAreReadAndMistakesNamed) {
  const MockSettings settings = parse_mock_settings(
      R"({"ttft": "7ms", "slots": 3, "faults": [{"fault": "stall", "every": 10, "first": 3, "time": "2s"}]})", "s.json",
      {.model = "m"});
  EXPECT_EQ(settings.model, "m");
  EXPECT_EQ(settings.ttft, milliseconds(7));
  EXPECT_EQ(settings.faults[0].fault, MockFault::stall);
  EXPECT_EQ(settings.faults[0].time, std::chrono::seconds(2));
  const auto complaint = [](const char* json) -> std::string {
    try {
      parse_mock_settings(json, "s.json", {});
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(complaint(R"({"faults": [{"fault": "stal"}]})"), HasSubstr("did you mean stall?"));
  EXPECT_THAT(complaint(R"({"tfft": "1ms"})"), HasSubstr("did you mean ttft?"));
  EXPECT_THAT(complaint(R"({"faults": [{"fault": "slow_headers"}]})"), HasSubstr("needs the time"));
  EXPECT_THAT(complaint(R"({"faults": {}})"), HasSubstr("a list of objects"));
  EXPECT_THAT(complaint(R"({"ttft": 3})"), HasSubstr("s.json"));
}

TEST(MockServer, SaysWhatItServed) {
  MockModel model({.faults = {{.fault = MockFault::status, .every = 2}}});
  for (int i = 0; i < 3; ++i) model.answer(completion(R"({"prompt":"a"})"), Nanoseconds(0));
  EXPECT_FALSE(model.lateness(0.5));
  for (int i = 0; i < 100; ++i) model.note_lateness(std::chrono::microseconds(i < 99 ? 10 : 1000));
  EXPECT_NEAR(to_seconds(*model.lateness(0.5)) * 1e6, 10, 1.5);
  EXPECT_NEAR(to_seconds(*model.lateness(1)) * 1e6, 1000, 100);
  const auto served = body_of(model.answer({.target = "/mock"}, Nanoseconds(0)));
  EXPECT_EQ(served["completions"], 3);
  EXPECT_EQ(served["faults"]["status"], 2);
}

}  // namespace
}  // namespace batchscope::load
