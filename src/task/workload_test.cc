// Workloads: what a trace may say, what is drawn, and the times of a request.
#include "task/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// One token a byte.
class ByteTokenizer : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text) const override { return {text.begin(), text.end()}; }
  std::string decode(std::span<const std::int32_t> tokens) const override { return {tokens.begin(), tokens.end()}; }
  std::int64_t vocabulary() const override { return 256; }
};

std::string complaint(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no complaint";
}
std::string complaint(std::string_view trace) {
  return complaint([&] { parse_trace(trace, "t.jsonl"); });
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
  EXPECT_THAT(complaint(good + "{\"arival_s\": 3, \"prompt_tokens\": 9, \"output_tokens\": 1}"),
              AllOf(HasSubstr("t.jsonl:2: arival_s"), HasSubstr("did you mean 'arrival_s'")));
  EXPECT_THAT(complaint(good + good), HasSubstr("no complaint"));
  EXPECT_THAT(complaint(good + "{\"arrival_s\": 1, \"prompt_tokens\": 9, \"output_tokens\": 1}"),
              AllOf(HasSubstr("t.jsonl:2:"), HasSubstr("sort the lines")));
  EXPECT_THAT(complaint("{\"prompt\": \"a\", \"prompt_tokens\": 9, \"output_tokens\": 1}"), HasSubstr("not both"));
  EXPECT_THAT(complaint("{\"output_tokens\": 1}"), HasSubstr("either a prompt or prompt_tokens"));
  EXPECT_THAT(complaint("{\"prompt_tokens\": 1, \"output_tokens\": 0}"), HasSubstr("output_tokens: expected"));
  EXPECT_THAT(complaint("{\"prompt_tokens\": 0, \"output_tokens\": 1}"), HasSubstr("prompt_tokens: expected"));
  EXPECT_THAT(complaint("{\"arrival_s\": -1, \"prompt_tokens\": 1, \"output_tokens\": 1}"), HasSubstr("0 or more"));
  EXPECT_THAT(complaint("{\"id\": 1, \"prompt_tokens\": 1, \"output_tokens\": 1}\n"
                        "{\"prompt_tokens\": 1, \"output_tokens\": 1}"),
              AllOf(HasSubstr("t.jsonl:2:"), HasSubstr("already used in line 1")));
  EXPECT_THAT(complaint("[1]"), HasSubstr("t.jsonl:1: expected an object"));
  EXPECT_THAT(complaint("\n"), HasSubstr("no request"));
}

TEST(Workload, SettingsSurviveJsonAndExcludeEachOther) {
  Workload workload{.prompt_tokens = 8, .output_tokens = 4, .requests = 3, .arrival_rate = 0.1};
  workload.sampling = {.temperature = 0.7, .top_p = 0.9, .seed = 5};
  EXPECT_EQ(to_json(workload_from_json(to_json(workload))), to_json(workload));
  const Workload trace{.trace = "t.jsonl"};
  EXPECT_EQ(to_json(workload_from_json(to_json(trace))), to_json(trace));
  workload.trace = "t.jsonl";
  EXPECT_THAT(complaint([&] { check(workload); }), HasSubstr("--trace"));
  EXPECT_THAT(complaint([&] { check(Workload{.prompt_tokens = 8, .requests = 1}); }), HasSubstr("--output-tokens"));
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
  EXPECT_THAT(complaint([&] { make_requests(outlines, {}, ByteTokenizer(), 256, 4); }), HasSubstr("request 0:"));
  const auto empty = parse_trace("{\"prompt\": \"\", \"output_tokens\": 4}", "t");
  EXPECT_THAT(complaint([&] { make_requests(empty, {}, ByteTokenizer(), 256, 8); }), HasSubstr("no token"));
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
