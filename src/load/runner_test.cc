// Runs against the mock server over loopback: every fault by its name, shapes of load, caps, retries, interruption.
#include "load/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "load/metrics.h"
#include "load/mock_server.h"
#include "load/server_models.h"

namespace batchscope::load {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

const std::atomic<bool> go_on{false};

Endpoint endpoint_of(const LoopbackMock& mock, Api api = Api::completions) {
  return {.url = http::parse_url(mock.url(), "the mock"), .api = api, .model = "mock"};
}

std::vector<Request> requests_of(std::size_t count, std::int64_t tokens = 3) {
  std::vector<Request> requests(count);
  for (std::size_t i = 0; i < count; ++i)
    requests[i] = {.id_json = std::to_string(i), .prompt = {.tokens = {1, 2, 3, 4}}, .output_tokens = tokens};
  return requests;
}

std::vector<LoadRequestRecord> run(const Endpoint& endpoint, std::span<const Request> requests,
                                   const RunOptions& options, const std::atomic<bool>& stop = go_on) {
  std::vector<LoadRequestRecord> records;
  run_requests(
      endpoint, requests, monotonic_clock().now() + milliseconds(5), options,
      [&](Answer answer) { records.push_back(std::move(answer.record)); }, stop);
  std::sort(records.begin(), records.end(),
            [](const LoadRequestRecord& a, const LoadRequestRecord& b) { return a.position < b.position; });
  return records;
}

const http::ExchangeLimits impatient{.first_byte = milliseconds(400), .between_bytes = milliseconds(400)};
const MockSettings quick{.ttft = milliseconds(2), .itl = milliseconds(1)};

// What a fault of the mock is to the client, in a stream.
std::string outcome_of(MockFaultRule rule, bool streams = true, Api api = Api::completions) {
  MockSettings settings = quick;
  settings.faults = {rule};
  const LoopbackMock mock(settings);
  Endpoint endpoint = endpoint_of(mock, api);
  endpoint.streams = streams;
  auto requests = requests_of(1);
  if (api == Api::chat) requests[0].prompt = {.text = "Hello"};
  const auto records = run(endpoint, requests, {.concurrency = 1, .limits = impatient});
  return records.size() == 1 ? records[0].outcome : "";
}

TEST(Runner, EveryFaultOfAServerHasItsName) {
  const std::map<MockFault, std::string> streamed{
      {MockFault::stall, "stalled"},
      {MockFault::reset, "reset"},
      {MockFault::cut, "cut"},
      {MockFault::malformed_event, "malformed_answer"},
      {MockFault::malformed_chunk, "not_http"},
      {MockFault::error_event, "error_in_answer"},
      {MockFault::unfinished, "unfinished"},
      {MockFault::wrong_usage, "wrong_usage"},
      {MockFault::no_tokens, "no_tokens"},
      {MockFault::single_bytes, "ok"},
      {MockFault::status, "http_429"},
      {MockFault::silent, "silent"},
      {MockFault::no_answer, "no_answer"},
  };
  for (const auto& [fault, outcome] : streamed) {
    EXPECT_EQ(outcome_of({.fault = fault}), outcome) << mock_fault_words()[static_cast<std::size_t>(fault)];
    EXPECT_EQ(outcome_of({.fault = fault}, true, Api::chat), outcome)
        << mock_fault_words()[static_cast<std::size_t>(fault)];
  }
  EXPECT_EQ(outcome_of({.fault = MockFault::slow_headers, .time = milliseconds(50)}), "ok");
  EXPECT_EQ(outcome_of({.fault = MockFault::stall, .time = milliseconds(20)}), "ok");
  std::map<MockFault, std::string> whole = streamed;
  whole[MockFault::stall] = "silent";
  whole.erase(MockFault::unfinished);
  for (const auto& [fault, outcome] : whole)
    EXPECT_EQ(outcome_of({.fault = fault}, false), outcome) << mock_fault_words()[static_cast<std::size_t>(fault)];
}

TEST(Runner, CountsAndTimesAreTheServers) {
  const LoopbackMock mock({.ttft = milliseconds(30), .itl = milliseconds(5), .tokens_per_chunk = 2});
  const auto records = run(endpoint_of(mock), requests_of(3, 5), {.concurrency = 1});
  ASSERT_EQ(records.size(), 3U);
  for (const LoadRequestRecord& record : records) {
    EXPECT_EQ(record.outcome, "ok");
    EXPECT_EQ(record.prompt_tokens, 4);
    EXPECT_EQ(record.output_tokens, 5);
    EXPECT_GE(*value_of(Metric::ttft, record), milliseconds(30));
    EXPECT_GE(*value_of(Metric::e2e, record), milliseconds(50));
    EXPECT_EQ(gaps_of(Metric::itl, record).size(), 4U);
    EXPECT_EQ(gaps_of(Metric::icl, record).size(), 2U);
    EXPECT_EQ(record.intended, *record.due);  // a closed loop means to send when it may
  }
  EXPECT_THAT(server_models(endpoint_of(mock)), ElementsAre("mock"));
}

TEST(Runner, CapHoldsRequestsBackAndTheyCatchUp) {
  const LoopbackMock mock({.ttft = milliseconds(40), .itl = Nanoseconds(0)});
  auto requests = requests_of(3, 1);
  for (Request& request : requests) request.arrival = Nanoseconds(0);
  const auto records = run(endpoint_of(mock), requests, {.concurrency = 1});
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(summarize(records, {}).most_at_once, 1);
  EXPECT_EQ(records[2].intended, Nanoseconds(0));
  EXPECT_GE(*records[2].due, milliseconds(80));
  EXPECT_LE(*records[2].started - *records[2].due, milliseconds(40));
}

TEST(Runner, ShiftedSchedulesKeepTheirGaps) {
  const LoopbackMock mock({.ttft = milliseconds(60), .itl = Nanoseconds(0)});
  auto requests = requests_of(3, 1);
  for (std::size_t i = 0; i < 3; ++i) requests[i].arrival = milliseconds(20 * i);
  requests[2].arrival = milliseconds(120);
  const auto records = run(endpoint_of(mock), requests, {.concurrency = 1, .late = LateRequests::shift});
  ASSERT_EQ(records.size(), 3U);
  EXPECT_GE(records[1].intended, milliseconds(60));                        // when it could go
  EXPECT_GE(records[2].intended - records[1].intended, milliseconds(99));  // as far behind it as in the schedule
}

TEST(Runner, TurnsOfASessionFollowEachOther) {
  const LoopbackMock mock(quick);
  auto requests = requests_of(6);
  for (std::size_t i = 0; i < 6; ++i) {
    requests[i].session = static_cast<std::int64_t>(i % 2);
    requests[i].think = milliseconds(15);
  }
  const auto records = run(endpoint_of(mock), requests, {});
  ASSERT_EQ(records.size(), 6U);
  for (std::size_t i = 2; i < 6; ++i) EXPECT_EQ(records[i].intended, *records[i - 2].end + milliseconds(15));
}

TEST(Runner, RetriesAreCountedAndOnlyMadeWhereAskedFor) {
  MockSettings settings = quick;
  settings.faults = {{.fault = MockFault::status, .every = 2, .status = 503}};
  const LoopbackMock mock(settings);
  const auto records = run(endpoint_of(mock), requests_of(1), {.concurrency = 1, .retries = 3});
  EXPECT_EQ(records[0].outcome, "ok");
  EXPECT_EQ(records[0].retries, 1);
  EXPECT_EQ(run(endpoint_of(mock), requests_of(1), {.concurrency = 1})[0].outcome, "http_503");
}

TEST(Runner, NothingIsSentAfterTheDuration) {
  const LoopbackMock mock({.ttft = milliseconds(10), .itl = Nanoseconds(0)});
  const auto closed = run(endpoint_of(mock), requests_of(1000, 1), {.concurrency = 2, .duration = milliseconds(100)});
  EXPECT_GE(closed.size(), 2U);
  EXPECT_LE(closed.size(), 24U);
  auto later = requests_of(2, 1);
  later[1].arrival = std::chrono::hours(1);
  later[0].arrival = Nanoseconds(0);
  EXPECT_EQ(run(endpoint_of(mock), later, {.duration = milliseconds(50)}).size(), 1U);
}

TEST(Runner, StoppingCancelsWhatIsUnderWay) {
  MockSettings settings = quick;
  settings.faults = {{.fault = MockFault::silent, .first = 1}};
  const LoopbackMock mock(settings);
  std::atomic<bool> stop{false};
  std::vector<std::string> outcomes;
  EXPECT_FALSE(run_requests(
      endpoint_of(mock), requests_of(5), monotonic_clock().now(), {.concurrency = 1},
      [&](Answer answer) {
        outcomes.push_back(answer.record.outcome);
        stop = true;
      },
      stop));
  EXPECT_THAT(outcomes, ElementsAre("ok", "cancelled"));
}

TEST(Runner, WhatTheReceiverThrowsEndsTheRun) {
  const LoopbackMock mock(quick);
  EXPECT_THROW(run_requests(
                   endpoint_of(mock), requests_of(50), monotonic_clock().now(), {.concurrency = 1},
                   [](const Answer&) { throw Failure("the disk is full"); }, go_on),
               Failure);
}

TEST(Runner, WithoutAServerEveryRequestSaysSo) {
  std::string url;
  {
    const LoopbackMock mock(quick);
    url = mock.url();
  }
  const Endpoint endpoint{.url = http::parse_url(url, "the mock"), .model = "mock"};
  for (const auto& record : run(endpoint, requests_of(3), {.concurrency = 1}))
    EXPECT_EQ(record.outcome, "no_connection");
  EXPECT_THROW(server_models(endpoint), InputError);
}

}  // namespace
}  // namespace batchscope::load
