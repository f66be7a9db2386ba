// Sends requests to a server when they are due and notes, on one monotonic clock, what becomes of each. One thread
// does nothing but send and take the time; what came is made sense of in the caller's thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "http/exchanges.h"
#include "load/endpoint.h"
#include "load/outcome.h"

namespace batchscope::load {

struct Request {
  std::string id_json{};  // a JSON integer or string
  Prompt prompt{};
  std::int64_t output_tokens = 1;
  // When it is due, since the run's start; absent: as soon as the cap on concurrency lets it go.
  std::optional<Nanoseconds> arrival{};
  // Requests of one session follow each other in the order of the run: each is due `think` after the end of the one
  // before it, whatever its arrival, which counts for the first only.
  std::optional<std::int64_t> session{};
  Nanoseconds think{0};
};

// What happens to a schedule when the cap on concurrency holds a request back.
enum class LateRequests {
  catch_up,  // the others keep their instants: what is late goes out as soon as it may
  shift,     // all that follow move by the same delay: the load is never more than the schedule's
};

struct RunOptions {
  std::optional<std::int64_t> concurrency{};  // at most so many at once; absent: no cap
  std::optional<Nanoseconds> duration{};      // since the start: what would be sent later is not
  LateRequests late = LateRequests::catch_up;
  http::ExchangeLimits limits{};
  std::int64_t retries = 0;  // of a request, at most
  std::set<std::string> retried{"no_connection", "connect_timeout", "reset", "no_answer", "http_429", "http_503"};
};

// Starts at `begin` on the host's monotonic clock, from which all instants count, and returns when every request has
// ended; false: `stop` was set, so that what was under way ended as cancelled, and what was not sent is not reported.
// `ended` is called in the calling thread, soon after each answer, in any order; what it throws ends the run and is
// thrown. InputError when the authorities' file cannot be read.
bool run_requests(const Endpoint& endpoint, std::span<const Request> requests, Nanoseconds begin,
                  const RunOptions& options, const std::function<void(Answer)>& ended, const std::atomic<bool>& stop);

}  // namespace batchscope::load
