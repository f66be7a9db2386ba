// Servers that generate: when requests go out, what comes back, and what is no result.
#include "engine/http/served_generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/phase_list.h"
#include "base/test_refusal.h"
#include "engine/http/http_engine.h"
#include "engine/http/test_server.h"
#include "load/mock_server.h"

namespace batchscope {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

std::vector<GenerateRequest> requests_arriving(std::size_t count, Nanoseconds apart) {
  std::vector<GenerateRequest> requests;
  for (std::size_t i = 0; i < count; ++i)
    requests.push_back({.prompt = {1, 2, 3, static_cast<std::int32_t>(i)},
                        .new_tokens = 4,
                        .arrival = apart * static_cast<std::int64_t>(i),
                        .stop_at_eos = false});
  return requests;
}

GenerateReport generate(const load::LoopbackMock& mock, std::span<const GenerateRequest> requests,
                        std::int64_t in_flight, ServerAccess access = {}) {
  EngineSpec spec = parse_engine(mock.url(), "--engine");
  spec.access = std::move(access);
  return generate_on_server(spec, {.model = "mock", .in_flight = in_flight}, requests, nullptr);
}

TEST(ServedGeneration, TimesAreThoseOfEachRequestSinceTheStart) {
  const load::LoopbackMock mock({.ttft = milliseconds(20), .itl = milliseconds(4)});
  const auto requests = requests_arriving(5, milliseconds(30));
  const GenerateReport report = generate(mock, requests, 100);
  ASSERT_EQ(report.sequences.size(), requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const GeneratedSequence& sequence = report.sequences[i];
    EXPECT_EQ(sequence.arrival, requests[i].arrival);
    EXPECT_GE(sequence.admitted, sequence.arrival);
    EXPECT_GE(sequence.first_token - sequence.admitted, milliseconds(20));
    EXPECT_GE(sequence.end - sequence.admitted, milliseconds(32));  // three gaps on top, however late the first is seen
    EXPECT_GE(sequence.end, sequence.first_token);
    EXPECT_EQ(sequence.length.value_or(std::ssize(sequence.tokens)), 4);
    EXPECT_LE(sequence.end, report.time);
  }
  EXPECT_EQ(report.served->times.size(), 5U);
  EXPECT_EQ(report.served->retries, 0);
}

TEST(ServedGeneration, WarmingPromptsAreNotTheTimedOnes) {
  const std::vector<load::Request> requests(3, {.prompt = {.tokens = {1, 2, 3}}, .output_tokens = 9, .arrival = milliseconds(5)});
  const auto warming = warming_requests(requests, 2);
  ASSERT_EQ(warming.size(), 2U);
  EXPECT_EQ(warming[0].prompt.tokens, (std::vector<std::int32_t>{3, 2, 1}));
  EXPECT_EQ(warming[0].output_tokens, 2);
  EXPECT_FALSE(warming[0].arrival);
  EXPECT_EQ(warming_requests(requests, 64).size(), 3U);
}

TEST(ServedGeneration, WhatIsBeyondTheCapWaits) {
  const load::LoopbackMock mock({.ttft = milliseconds(20), .itl = Nanoseconds(0)});
  const GenerateReport report = generate(mock, requests_arriving(6, Nanoseconds(0)), 2);
  std::vector<Nanoseconds> admitted;
  for (const GeneratedSequence& sequence : report.sequences) admitted.push_back(sequence.admitted);
  std::sort(admitted.begin(), admitted.end());
  EXPECT_GE(admitted[2], milliseconds(20));
  EXPECT_GE(admitted[4], milliseconds(40));
}

TEST(ServedGeneration, LengthsAreKnownWithoutIds) {
  const load::LoopbackMock mock({.ttft = milliseconds(1), .itl = Nanoseconds(0), .sends_token_ids = false});
  const GenerateReport report = generate(mock, requests_arriving(2, Nanoseconds(0)), 2);
  EXPECT_TRUE(report.sequences[1].tokens.empty());
  EXPECT_EQ(report.sequences[1].length, 4);
}

TEST(ServedGeneration, PromptsGoAsTextWhereTheServerTakesNoIds) {
  const load::LoopbackMock mock({.ttft = milliseconds(1), .itl = Nanoseconds(0), .takes_token_ids = false});
  EXPECT_THAT(refusal<Failure>([&] { generate(mock, requests_arriving(2, Nanoseconds(0)), 2); }),
              AllOf(HasSubstr("before anything was timed"), HasSubstr("http_400")));
  HttpEngine engine(parse_engine(mock.url(), "--engine"));
  Placement placement;
  placement.device = parse_device("cpu:1");
  engine.load(played_model(), placement);
  EXPECT_EQ(engine.generate(requests_arriving(2, Nanoseconds(0)), {.batch = 2}, nullptr, {}).sequences.size(), 2U);
}

TEST(ServedGeneration, ARequestThatFailsFailsAll) {
  load::MockSettings settings{.ttft = milliseconds(1), .itl = Nanoseconds(0)};
  settings.faults =
      load::parse_mock_settings(R"({"faults": [{"fault": "status", "every": 3, "first": 2, "status": 503}]})",
                                "scenario", settings)
          .faults;
  {
    const load::LoopbackMock mock(settings);
    EXPECT_THAT(refusal<Failure>([&] { generate(mock, requests_arriving(6, Nanoseconds(0)), 1); }),
                AllOf(HasSubstr("of 6 requests failed"), HasSubstr("http_503")));
  }
  const load::LoopbackMock mock(settings);  // sent again, they pass, which takes time
  const GenerateReport report = generate(mock, requests_arriving(6, Nanoseconds(0)), 1, {.retries = 3});
  EXPECT_GT(report.served->retries, 0);
  EXPECT_THAT(report.doubts, testing::Contains(HasSubstr("sent again")));
}

TEST(ServedGeneration, AnEngineRecordsWhatIsTimed) {
  const load::LoopbackMock mock({.ttft = milliseconds(5), .itl = Nanoseconds(0)});
  HttpEngine engine(parse_engine(mock.url(), "--engine"));
  Placement placement;
  placement.device = parse_device("cpu:1");
  engine.load({}, placement);
  PhaseList phases;
  std::int64_t tokens = 0;
  const auto count = [&](std::size_t, std::int32_t) { ++tokens; };
  const GenerateReport report = engine.generate(requests_arriving(3, Nanoseconds(0)), {.batch = 3}, &phases, count);
  EXPECT_EQ(tokens, 12);
  std::vector<std::string> names;
  for (const Phase& phase : phases.take()) {
    names.push_back(phase.name);
    if (phase.name == timed_phase) {
      EXPECT_EQ(phase.end - phase.begin, report.time);
    }
  }
  EXPECT_THAT(names, testing::Contains(std::string(timed_phase)));
}

}  // namespace
}  // namespace batchscope
