// Tokens and outcomes of answers as servers stream them.
#include "load/outcome.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchscope::load {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

WireAnswer stream(std::vector<std::string> events) {
  WireAnswer wire{.is_event_stream = true};
  wire.exchange.response.status = 200;
  for (std::size_t i = 0; i < events.size(); ++i)
    wire.events.push_back({.at = milliseconds(10 * (i + 1)), .data = std::move(events[i])});
  wire.exchange.end = milliseconds(1000);
  return wire;
}

WireAnswer body(std::string json, int status = 200) {
  WireAnswer wire;
  wire.exchange.response.status = status;
  wire.events.push_back({.at = milliseconds(10), .data = std::move(json)});
  return wire;
}

Answer read(const WireAnswer& wire, std::int64_t asked = 100, std::optional<std::int64_t> prompt = {}) {
  return read_answer(wire, {.asked_prompt_tokens = prompt, .asked_output_tokens = asked}, Nanoseconds(0));
}

std::vector<std::int64_t> tokens_of(const Answer& answer) {  // -1: unknown
  std::vector<std::int64_t> tokens;
  for (const ChunkRecord& chunk : answer.record.chunks) tokens.push_back(chunk.tokens.value_or(-1));
  return tokens;
}

std::string text(std::string_view content, std::string_view more = "") {
  return fmt::format(R"({{"choices":[{{"index":0,"text":"{}"{}}}]}})", content, more);
}
std::string delta(std::string_view fields, std::string_view more = "") {
  return fmt::format(R"({{"choices":[{{"index":0,"delta":{{{}}}}}]{}}})", fields, more);
}
std::string usage(int prompt, int output) {
  return fmt::format(R"({{"choices":[],"usage":{{"prompt_tokens":{},"completion_tokens":{}}}}})", prompt, output);
}

TEST(Outcome, ChunksOfAChatHaveTokensWhereTheyHaveContent) {
  const Answer answer =
      read(stream({delta(R"("role":"assistant","content":"")"), delta(R"("content":"Hel")"), delta(R"("content":"lo")"),
                   R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})", usage(7, 2), "[DONE]"}));
  EXPECT_EQ(answer.record.outcome, "ok");
  EXPECT_EQ(answer.text, "Hello");
  EXPECT_THAT(tokens_of(answer), testing::ElementsAre(0, 1, 1, 0));
  EXPECT_EQ(answer.record.prompt_tokens, 7);
  EXPECT_EQ(answer.record.output_tokens, 2);
  EXPECT_EQ(answer.record.finish_reason, "stop");
}

TEST(Outcome, ReasoningAndCallsOfToolsAreTokensToo) {
  EXPECT_THAT(tokens_of(read(stream({delta(R"("reasoning_content":"a")"), delta(R"("reasoning":"b")"),
                                     delta(R"("tool_calls":[{"index":0}])"), delta(R"("tool_calls":[])"), usage(1, 3),
                                     "[DONE]"}))),
              testing::ElementsAre(1, 1, 1, 0));
}

TEST(Outcome, TokensOfBundledChunksAreUnknownWithoutIdsOrRunningUsage) {
  const Answer answer = read(stream({text("a b c"), text("d"), usage(1, 9), "[DONE]"}));
  EXPECT_EQ(answer.record.outcome, "ok");
  EXPECT_THAT(tokens_of(answer), testing::ElementsAre(-1, -1));
  EXPECT_EQ(answer.record.output_tokens, 9);
  EXPECT_THAT(tokens_of(read(stream({text("all of it"), usage(1, 9), "[DONE]"}))), testing::ElementsAre(9));
}

TEST(Outcome, IdsSayHowManyTokensAChunkHasEvenWithoutText) {
  const Answer answer = read(stream({text("", R"(,"token_ids":[5])"), text("é", R"(,"token_ids":[6,7])"),
                                     text("", R"(,"token_ids":[],"finish_reason":"length")"), "[DONE]"}));
  EXPECT_THAT(tokens_of(answer), testing::ElementsAre(1, 2, 0));
  EXPECT_EQ(answer.record.output_tokens, 3);
  EXPECT_THAT(answer.tokens, testing::ElementsAre(5, 6, 7));
}

TEST(Outcome, RunningUsageGrowsWithEachChunk) {
  const auto running = [](int tokens) {
    return fmt::format(R"(,"usage":{{"prompt_tokens":4,"completion_tokens":{}}})", tokens);
  };
  const Answer answer = read(stream({delta(R"("role":"assistant")", running(0)), delta(R"("content":"a")", running(3)),
                                     delta(R"("content":"b")", running(4)), usage(4, 4), "[DONE]"}));
  EXPECT_THAT(tokens_of(answer), testing::ElementsAre(0, 3, 1));
  EXPECT_EQ(answer.record.outcome, "ok");
}

TEST(Outcome, WithoutUsageCountsAreUnknown) {
  const Answer answer = read(stream({text("a"), text("b"), "[DONE]"}));
  EXPECT_EQ(answer.record.outcome, "ok");
  EXPECT_FALSE(answer.record.output_tokens || answer.record.prompt_tokens);
  EXPECT_THAT(tokens_of(answer), testing::ElementsAre(-1, -1));
}

TEST(Outcome, ContradictionsAreWrongUsage) {
  EXPECT_EQ(read(stream({text("a"), usage(1, 101), "[DONE]"})).record.outcome, "wrong_usage");
  EXPECT_EQ(read(stream({text("a"), text("b"), usage(1, 1), "[DONE]"})).record.outcome, "wrong_usage");
  EXPECT_EQ(read(stream({text("a"), usage(3, 1), "[DONE]"}), 10, 4).record.outcome, "wrong_usage");
  EXPECT_EQ(read(stream({text("a", R"(,"token_ids":[1,2])"), usage(1, 3), "[DONE]"})).record.outcome, "wrong_usage");
  const Answer back = read(stream({text("a"), usage(1, 9), usage(1, 5), "[DONE]"}));
  EXPECT_EQ(back.record.outcome, "wrong_usage");
  EXPECT_THAT(back.record.detail, HasSubstr("from 9 to 5"));
  EXPECT_FALSE(back.record.output_tokens);
}

TEST(Outcome, AnAnswerThatEndsAtTheLengthAskedForHasSoManyTokens) {
  const auto end = [](const char* reason) {
    return fmt::format(R"({{"choices":[{{"text":"","finish_reason":"{}"}}]}})", reason);
  };
  const auto tokens = [&](const char* reason, std::int64_t asked) {
    return read(stream({text("a"), text("b"), end(reason), "[DONE]"}), asked).record.output_tokens;
  };
  EXPECT_EQ(tokens("length", 2), 2);
  EXPECT_EQ(tokens("length", 3), std::nullopt);  // a chunk may have several
  EXPECT_EQ(tokens("stop", 2), std::nullopt);
}

TEST(Outcome, WholeBodiesHaveCountsAndNoChunks) {
  const Answer answer = read(body(
      R"({"choices":[{"message":{"content":"x y"}, "finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":2}})"));
  EXPECT_EQ(answer.record.outcome, "ok");
  EXPECT_TRUE(answer.record.chunks.empty());
  EXPECT_EQ(answer.record.output_tokens, 2);
}

TEST(Outcome, FailuresHaveNamesAndWhatTheServerSaid) {
  EXPECT_EQ(read(body(R"({"error":{"message":"too many"}})", 429)).record.outcome, "http_429");
  EXPECT_EQ(read(body(R"({"error":{"message":"too many"}})", 429)).record.detail, "too many");
  EXPECT_EQ(read(body(R"({"detail":"no"})", 404)).record.detail, "no");
  EXPECT_EQ(read(body("<html>", 502)).record.detail, "<html>");
  EXPECT_EQ(read(body("<html>")).record.outcome, "malformed_answer");
  EXPECT_EQ(read(body("[]")).record.outcome, "malformed_answer");
  EXPECT_EQ(read(stream({text("a"), R"({"choi)", "[DONE]"})).record.outcome, "malformed_answer");
  EXPECT_EQ(read(stream({text("a"), R"({"error":"gone"})"})).record.detail, "gone");
  EXPECT_EQ(read(stream({text("a"), R"({"error":"gone"})"})).record.outcome, "error_in_answer");
  EXPECT_EQ(read(stream({text("a")})).record.outcome, "unfinished");
  EXPECT_EQ(read(stream({usage(3, 0), "[DONE]"})).record.outcome, "no_tokens");
  WireAnswer lines = stream({text("a"), "[DONE]"});
  lines.has_unknown_lines = true;
  EXPECT_EQ(read(lines).record.outcome, "malformed_answer");
  WireAnswer stalled = stream({text("a"), text("b")});
  stalled.exchange.ending = http::Ending::stalled;
  EXPECT_EQ(read(stalled).record.outcome, "stalled");
  EXPECT_EQ(read(stalled).record.chunks.size(), 2U);
}

TEST(Outcome, EveryEndingHasAMeaning) {
  for (int ending = 1; ending <= static_cast<int>(http::Ending::cancelled); ++ending)
    EXPECT_NE(meaning_of(static_cast<http::Ending>(ending)), outcome_words()[0].meaning) << ending;
}

TEST(Outcome, InstantsCountFromTheRunsBegin) {
  WireAnswer wire = stream({text("a"), "[DONE]"});
  wire.exchange.sent = milliseconds(7);
  const Answer answer = read_answer(wire, {.asked_output_tokens = 1}, milliseconds(2));
  EXPECT_EQ(answer.record.sent, milliseconds(5));
  EXPECT_EQ(answer.record.chunks[0].at, milliseconds(8));
  EXPECT_EQ(answer.record.end, milliseconds(998));
  EXPECT_FALSE(answer.record.first_byte);
}

}  // namespace
}  // namespace batchscope::load
