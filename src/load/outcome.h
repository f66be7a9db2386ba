// What an answer is worth: its outcome as one word, and the tokens in it, counted from what the server says of tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/exchanges.h"
#include "load/endpoint.h"
#include "store/load_runs.h"

namespace batchscope::load {

// Words of LoadRequestRecord::outcome besides those of http::Ending, with what they say to people.
struct OutcomeWord {
  std::string_view word, meaning;
};
// All of them: "ok" first, then failures of the connection, then of the answer.
std::span<const OutcomeWord> outcome_words();
std::string_view meaning_of(http::Ending ending);

// One server-sent event's data, or a whole body.
struct WireEvent {
  Nanoseconds at{0};  // on the host's monotonic clock
  std::string data{};
};

// An exchange as it was, before anything is made of it.
struct WireAnswer {
  http::Exchange exchange{};
  bool is_event_stream = false;
  bool has_unknown_lines = false;  // lines that are no server-sent event
  std::vector<WireEvent> events{};
};

// What came besides times and counts.
struct Answer {
  LoadRequestRecord record{};
  std::string text{};
  std::vector<std::int32_t> tokens{};  // where the server returns ids
};

// Fills the outcome, the server's counts and the chunks into a record that has what was asked; instants count from
// `begin`. Tokens of a chunk are, in this order: its token ids; the growth of its running usage; one each, when the
// usage at the end, or the length asked for at which the answer ended ("length"), is as many as there are chunks with
// text; else unknown. A body that was not streamed has no chunks.
// A usage that cannot be (more than asked for, fewer than chunks with text or than ids, going back, a prompt shorter
// than the ids sent) is the outcome wrong_usage, and its counts are unknown.
Answer read_answer(const WireAnswer& wire, LoadRequestRecord asked, Nanoseconds begin);

}  // namespace batchscope::load
