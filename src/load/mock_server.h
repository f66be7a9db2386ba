// A server of completions that computes nothing: its tokens come at exact instants, its counts are known, and what goes
// wrong is in its settings. Clients are measured with it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "http/message.h"
#include "http/script_server.h"

namespace batchscope::load {

// What goes wrong with an answer. All but `status`, `silent`, `no_answer` and `slow_headers` happen after
// `after_tokens` tokens.
enum class MockFault {
  stall,            // nothing comes any more, or for `time`
  reset,            // of the connection
  cut,              // the connection is closed, the answer's last chunk is missing
  malformed_event,  // an event whose JSON is broken off
  malformed_chunk,  // what should be a chunk's size is none
  error_event,      // an error in the place of further tokens
  unfinished,       // a proper end of the HTTP message, without a finish reason and [DONE]
  wrong_usage,      // the usage says twice as many tokens, and one more
  no_tokens,        // the answer ends before its first
  single_bytes,     // each byte in a segment of its own: nothing is wrong
  status,           // `status` in place of an answer
  silent,           // no byte of an answer
  no_answer,        // the connection is closed at once
  slow_headers,     // the bytes of the headers are spread over `time`
};

struct MockFaultRule {
  MockFault fault = MockFault::stall;
  std::int64_t every = 1, first = 0;  // of the completions asked for, counted from 0: first, first + every, …
  std::int64_t after_tokens = 1;
  std::optional<Nanoseconds> time{};
  int status = 429;
};

struct MockSettings {
  std::string model = "mock";
  Nanoseconds ttft{std::chrono::milliseconds(50)};  // from the whole request, or its slot, to the first token
  Nanoseconds itl{std::chrono::milliseconds(10)};   // between tokens
  Nanoseconds per_prompt_token{0};                  // added to the first
  std::int64_t tokens_per_chunk = 1;                // a chunk goes out with its last token; the first token goes alone
  std::int64_t output_tokens = 16;                  // where a request does not say
  std::int64_t slots = 0;                           // answers at once, others wait in order; 0: any number
  std::int64_t queue = 0;                           // that wait at most, more get 429; 0: any number
  bool takes_token_ids = true;                      // as prompts
  bool sends_token_ids = true;                      // where they are asked for
  std::vector<MockFaultRule> faults{};
};

// A scenario file: one JSON object with the names above; durations are texts ("50ms"), `faults` a list of objects
// {"fault": …, "every": …, "first": …, "after_tokens": …, "time": …, "status": …}. What it does not say is as in
// `defaults`. InputError names file and key.
MockSettings parse_mock_settings(std::string_view json, const std::string& origin, const MockSettings& defaults);
std::vector<std::string_view> mock_fault_words();

// The log-probability of a token behind another one: the same everywhere, in (-12, 0), different for most pairs. A
// letter behind a letter that it may follow in English prose is likelier than one that it may not, so that text scores
// better than the same characters shuffled.
double mock_log_probability(std::int32_t before, std::int32_t token);

// Answers of the mock as scripts. Texts have one token a byte, its id; a prompt of ids is taken as it is.
// GET /v1/models, /health, and /mock (what was served, as JSON); POST /v1/completions (also echo and logprobs) and
// /v1/chat/completions.
class MockModel {
 public:
  explicit MockModel(MockSettings settings);
  http::Script answer(const http::Request& request, Nanoseconds now);
  void note_lateness(Nanoseconds by);  // of bytes that went out later than they should
  // Of the bytes that went out; absent before the first.
  std::optional<Nanoseconds> lateness(double quantile) const;

 private:
  http::Script complete(const http::Request& request, Nanoseconds now, bool is_chat);
  std::string served() const;

  MockSettings settings_;
  std::vector<Nanoseconds> slot_ends_{};       // of each slot, when what was given to it is over
  std::multimap<Nanoseconds, int> waiting_{};  // when those that wait begin
  std::int64_t asked_ = 0;                     // completions
  std::map<std::string, std::int64_t> faults_{};
  std::vector<std::int64_t> lateness_;  // counts of powers of 2^(1/8) µs
};

// A mock on a thread of its own, on loopback: for measuring this program's client.
class LoopbackMock {
 public:
  explicit LoopbackMock(MockSettings settings);
  ~LoopbackMock();
  LoopbackMock(const LoopbackMock&) = delete;
  LoopbackMock& operator=(const LoopbackMock&) = delete;
  std::string url() const;  // http://127.0.0.1:PORT/v1

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace batchscope::load
