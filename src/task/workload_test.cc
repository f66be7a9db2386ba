// Workloads: what a trace may say, what is drawn, and the times of a request.
#include "task/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/input_warnings.h"
#include "base/test_refusal.h"
#include "task/test_tokenizer.h"
#include "task/trace_formats.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal_of(std::string_view trace) {
  return refusal([&] { parse_trace(trace, "t.jsonl"); });
}

WorkloadRequests requests_of(const Workload& workload, std::int64_t max_tokens = 100) {
  return make_requests(draw_requests(workload), workload, ByteTokenizer(), 50, max_tokens);
}

TEST(Trace, LinesMayHaveTextOrLengths) {
  const auto requests = parse_trace(
      "{\"id\": \"a\", \"arrival_s\": 0.25, \"prompt\": \"abc\", \"output_tokens\": 4}\n\n"
      "{\"arrival_s\": 1, \"prompt_tokens\": 9, \"output_tokens\": 1}\n",
      "t");
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].id, "a");
  EXPECT_EQ(requests[0].arrival, std::chrono::milliseconds(250));
  EXPECT_EQ(requests[0].prompt, "abc");
  EXPECT_EQ(requests[1].id, 1);
  EXPECT_EQ(requests[1].prompt, std::nullopt);
  EXPECT_EQ(requests[1].prompt_tokens, 9);
  EXPECT_EQ(parse_trace("{\"prompt_tokens\":1,\"output_tokens\":1}\nbroken", "t", 1).size(), 1U);
}

TEST(Trace, MistakesAreNamedWithTheirLine) {
  const std::string good = "{\"arrival_s\": 2, \"prompt_tokens\": 9, \"output_tokens\": 1}\n";
  EXPECT_THAT(refusal_of(good + "{\"arival_s\": 3, \"prompt_tokens\": 9, \"output_tokens\": 1}"),
              HasSubstr("t.jsonl:2: not known: arival_s (did you mean arrival_s?)"));
  EXPECT_THAT(refusal_of(good + good), HasSubstr("(accepted)"));
  EXPECT_THAT(refusal_of(good + "{\"arrival_s\": 1, \"prompt_tokens\": 9, \"output_tokens\": 1}"),
              AllOf(HasSubstr("t.jsonl:2:"), HasSubstr("sort the lines")));
  EXPECT_THAT(refusal_of("{\"prompt\": \"a\", \"prompt_tokens\": 9, \"output_tokens\": 1}"), HasSubstr("not both"));
  EXPECT_THAT(refusal_of("{\"output_tokens\": 1}"), HasSubstr("either a prompt or prompt_tokens"));
  EXPECT_THAT(refusal_of("{\"prompt_tokens\": 1, \"output_tokens\": 0}"),
              HasSubstr("no request in it that has tokens"));
  EXPECT_THAT(refusal_of("{\"prompt_tokens\": -1, \"output_tokens\": 1}"), HasSubstr("prompt_tokens: expected"));
  EXPECT_THAT(refusal_of(good + "{\"prompt_tokens\": 9, \"output_tokens\": 1}"),
              HasSubstr("t.jsonl:2: it has no arrival_s, though others have one"));
  EXPECT_THAT(refusal_of("{\"prompt\": \"a\", \"max_tokens\": 5, \"arrival_ms\": 7}"),
              AllOf(HasSubstr("max_tokens (did you mean output_tokens?)"),
                    HasSubstr("arrival_ms (did you mean arrival_s, in seconds?)")));
  EXPECT_THAT(refusal_of(R"({"custom_id": "r1", "body": {}})"), HasSubstr("a batch file for OpenAI's API"));
  EXPECT_THAT(refusal_of("{\"arrival_s\": -1, \"prompt_tokens\": 1, \"output_tokens\": 1}"), HasSubstr("0 or more"));
  EXPECT_THAT(refusal_of("{\"id\": 1, \"prompt_tokens\": 1, \"output_tokens\": 1}\n"
                         "{\"prompt_tokens\": 1, \"output_tokens\": 1}"),
              AllOf(HasSubstr("t.jsonl:2:"), HasSubstr("already used in line 1")));
  EXPECT_THAT(refusal_of("[1]"), HasSubstr("t.jsonl:1: expected an object"));
  EXPECT_THAT(refusal_of("\n"), HasSubstr("no request"));
}

std::vector<double> arrivals_of(const std::vector<RequestOutline>& requests) {
  std::vector<double> out;
  for (const RequestOutline& request : requests) out.push_back(to_seconds(request.arrival));
  return out;
}

TEST(Trace, TimesMayBeDatesOrSince1970) {
  const auto arrivals = [](const char* first, const char* second) {
    return arrivals_of(parse_trace(fmt::format("{{\"arrival_s\": {}, \"prompt_tokens\": 5, \"output_tokens\": 2}}\n"
                                               "{{\"arrival_s\": {}, \"prompt_tokens\": 5, \"output_tokens\": 2}}\n",
                                               first, second),
                                   "t"));
  };
  EXPECT_THAT(arrivals("1706954400.5", "1706954401"), testing::ElementsAre(0, testing::DoubleNear(0.5, 1e-6)));
  EXPECT_THAT(arrivals("1706954400500", "1706954401000"), testing::ElementsAre(0, testing::DoubleNear(0.5, 1e-6)));
  EXPECT_THAT(arrivals("\"2024-02-03T10:00:00.1\"", "\"2024-02-03T11:00:00.1+01:00\""), testing::ElementsAre(0, 0));
  EXPECT_THAT(arrivals("0.25", "1"), testing::ElementsAre(0.25, 1));
  EXPECT_DOUBLE_EQ(*parse_iso_time("1970-01-02 00:00:01.5"), 86401.5);
  for (const char* bad :
       {"", "2024", "2024-13-01T00:00:00", "2024-01-01", "2024-01-01T25:00:00", "2024-01-01T00:00:00x"})
    EXPECT_FALSE(parse_iso_time(bad)) << bad;
}

// As they are published: each with its own columns and units; what failed there is left out, and said.
TEST(Trace, OtherFormsAreRead) {
  const auto azure = parse_trace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\n"
      "2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.9799600,110,27\n",
      "azure.csv");
  ASSERT_EQ(azure.size(), 2U);
  EXPECT_EQ(azure[0].prompt_tokens, 4808);
  EXPECT_EQ(azure[1].output_tokens, 27);
  EXPECT_NEAR(to_seconds(azure[1].arrival), 1, 1e-6);
  const auto burst = parse_trace(
      "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
      "5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,0,1087,Conversation log\n118,GPT-4,417,276,693,API "
      "log\r\n",
      "burst.csv");
  ASSERT_EQ(burst.size(), 2U);
  EXPECT_EQ(burst[1].output_tokens, 276);
  EXPECT_EQ(to_seconds(burst[1].arrival), 113);
  EXPECT_THAT(input_warnings().back(), HasSubstr("burst.csv: 1 request with 0 tokens left out"));
  const auto mooncake = parse_trace(R"({"timestamp": 0, "input_length": 65, "output_length": 5, "hash_ids": [0, 1]})"
                                    "\n"
                                    R"({"timestamp": 300, "input_length": 70, "output_length": 2, "hash_ids": [0, 2]})",
                                    "m.jsonl");
  EXPECT_THAT(arrivals_of(mooncake), testing::ElementsAre(0, 0.3));
  EXPECT_EQ(mooncake[1].prompt_tokens, 70);
  const auto bailian = parse_trace(
      R"({"chat_id": 1, "parent_chat_id": -1, "timestamp": 61.1, "input_length": 52, "output_length": 4, "hash_ids": []})"
      "\n"
      R"({"chat_id": 2, "parent_chat_id": 1, "timestamp": 61.6, "input_length": 5, "output_length": 4, "hash_ids": []})",
      "b.jsonl", {}, "", 2);
  EXPECT_THAT(arrivals_of(bailian), testing::ElementsAre(0, testing::DoubleNear(0.25, 1e-6)));
  const auto vllm = parse_trace(R"({"prompt": "a", "output_tokens": 3, "other": 1})", "v.jsonl", {}, "vllm");
  EXPECT_EQ(vllm[0].output_tokens, 3);
  const auto shared = parse_trace(
      R"([{"id": "x", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
          {"id": "y", "conversations": [{"from": "human", "value": "Hi"}]}])",
      "s.json");
  ASSERT_EQ(shared.size(), 1U);
  EXPECT_EQ(make_requests(shared, {}, ByteTokenizer(), 256, 100).requests[0].new_tokens, 5);
  EXPECT_THAT(refusal([&] { parse_trace("a,b\n1,2\n", "c.csv", {}, "azure"); }),
              HasSubstr("there is no column TIMESTAMP"));
  EXPECT_THAT(refusal([&] { parse_trace("{}", "t", {}, "azur"); }), HasSubstr("--trace-format"));
}

TEST(Workload, SettingsExcludeEachOther) {
  Workload workload{.prompt_tokens = 8, .output_tokens = 4, .requests = 3, .arrival_rate = 0.1};
  EXPECT_NO_THROW(check(workload));
  EXPECT_THAT(
      refusal([&] { check(Workload{.prompt_tokens = 8, .output_tokens = 1, .requests = 1, .trace_speed = 2}); }),
      HasSubstr("--trace-speed is of --trace"));
  workload.trace = "t.jsonl";
  EXPECT_THAT(refusal([&] { check(workload); }), HasSubstr("--trace"));
  EXPECT_THAT(refusal([&] { check(Workload{.prompt_tokens = 8, .requests = 1}); }), HasSubstr("--output-tokens"));
}

TEST(Workload, DrawsTheSameForTheSameSeed) {
  Workload workload{.prompt_tokens = 20, .output_tokens = 4, .requests = 30};
  const auto at_once = requests_of(workload);
  EXPECT_TRUE(at_once.all_at_begin());
  workload.arrival_rate = 2;
  const auto spread = requests_of(workload);
  EXPECT_FALSE(spread.all_at_begin());
  EXPECT_EQ(spread.requests[0].arrival, Nanoseconds(0));
  for (std::size_t i = 0; i < 30; ++i) {
    EXPECT_EQ(spread.requests[i].prompt, at_once.requests[i].prompt);
    EXPECT_FALSE(spread.requests[i].stop_at_eos);
    for (const std::int32_t token : spread.requests[i].prompt) EXPECT_TRUE(token >= 0 && token < 50);
  }
  EXPECT_NE(spread.requests[0].prompt, spread.requests[1].prompt);
  EXPECT_NE(spread.requests[0].sampling.seed, spread.requests[1].sampling.seed);
  workload.sampling.seed = 1;
  EXPECT_NE(requests_of(workload).requests[0].prompt, spread.requests[0].prompt);
  EXPECT_EQ(make_requests(draw_requests(workload, 2), workload, ByteTokenizer(), 50, 100).requests.size(), 2U);
}

// Of n gaps the mean has a standard deviation of mean / sqrt(n).
TEST(Workload, GapsBetweenArrivalsHaveTheRatesMean) {
  const auto outlines =
      draw_requests({.prompt_tokens = 1, .output_tokens = 1, .requests = 10'001, .arrival_rate = 4.0});
  EXPECT_NEAR(to_seconds(outlines.back().arrival) / 10'000, 0.25, 4 * 0.25 / 100);
}

TEST(Workload, BurstsVaryByTheirShape) {
  Workload workload{.prompt_tokens = 1, .output_tokens = 1, .requests = 10'001, .arrival_rate = 4.0};
  for (const double burstiness : {0.25, 1.0, 4.0}) {
    workload.burstiness = burstiness;
    const auto outlines = draw_requests(workload);
    double squares = 0;
    for (std::size_t i = 1; i < outlines.size(); ++i)
      squares += std::pow(to_seconds(outlines[i].arrival - outlines[i - 1].arrival) / 0.25 - 1, 2);
    EXPECT_NEAR(squares / 10'000 * burstiness, 1, 0.15) << burstiness;
  }
  workload.arrival_rate.reset();
  EXPECT_THAT(refusal([&] { check(workload); }), HasSubstr("--burstiness is of arrivals; give --arrival-rate"));
}

TEST(Workload, PromptsThatAreTooLongLoseTheirBegin) {
  const auto outlines = parse_trace(
      "{\"prompt\": \"abcdef\", \"output_tokens\": 4}\n"
      "{\"prompt\": \"abcd\", \"output_tokens\": 4}\n"
      "{\"prompt_tokens\": 1000000, \"output_tokens\": 2}\n",
      "t");
  const auto made = make_requests(outlines, {}, ByteTokenizer(), 256, 8);
  EXPECT_EQ(made.requests[0].prompt, (std::vector<std::int32_t>{'c', 'd', 'e', 'f'}));
  EXPECT_TRUE(made.truncated(0));
  EXPECT_FALSE(made.truncated(1));
  EXPECT_EQ(made.requests[2].prompt.size(), 6U);
  EXPECT_EQ(made.counts.requested, 10 + 8 + 1'000'002);
  EXPECT_EQ(made.counts.truncated, 2 + 999'994);
  EXPECT_THAT(refusal([&] { make_requests(outlines, {}, ByteTokenizer(), 256, 4); }), HasSubstr("request 0:"));
  const auto empty = parse_trace("{\"prompt\": \"\", \"output_tokens\": 4}", "t");
  EXPECT_THAT(refusal([&] { make_requests(empty, {}, ByteTokenizer(), 256, 8); }), HasSubstr("no token"));
}

TEST(Workload, TimesOfARequestCountFromItsArrival) {
  const auto asked = requests_of({.prompt_tokens = 3, .output_tokens = 5, .requests = 2});
  GeneratedSequence five{.tokens = {1, 2, 3, 4, 5}}, one{.tokens = {1}};
  five.admitted = std::chrono::milliseconds(10);
  five.first_token = std::chrono::milliseconds(30);
  five.end = std::chrono::milliseconds(110);
  const auto results = request_results(asked, std::vector{five, one});
  EXPECT_EQ(results[0].queue_time(), std::chrono::milliseconds(10));
  EXPECT_EQ(results[0].time_to_first_token(), std::chrono::milliseconds(30));
  EXPECT_EQ(results[0].time_per_output_token(), std::chrono::milliseconds(20));
  EXPECT_EQ(results[0].latency(), std::chrono::milliseconds(110));
  EXPECT_EQ(results[1].time_per_output_token(), std::nullopt);
  EXPECT_DOUBLE_EQ(to_json(results[0]).at("first_token_s"), 0.03);
  WorkloadRequests later = asked;
  later.requests[1].arrival = Nanoseconds(1);
  EXPECT_THROW(request_results(later, std::vector{five, one}), Failure);
}

}  // namespace
}  // namespace batchscope
