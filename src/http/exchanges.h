// Many exchanges with one HTTP or HTTPS server at once, in one thread: connections that are kept, answers that stream.
// Each exchange has its instants on the host's monotonic clock, and ends by itself or by one of its limits.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "http/client.h"
#include "http/message.h"
#include "http/reader.h"
#include "http/url.h"

namespace batchscope::http {

// How an exchange ended.
enum class Ending {
  complete,  // there is a whole answer, whatever its status
  no_such_host,
  no_connection,
  connect_timeout,
  no_trust,   // TLS could not be agreed on, or the certificate is not the host's
  no_token,   // its file cannot be read
  reset,      // by the server
  no_answer,  // the server closed the connection before the first byte
  cut,        // the server closed the connection within the answer
  silent,     // no byte of an answer came in time
  stalled,    // no further byte came in time
  timed_out,  // the whole took too long
  not_http,
  too_long,
  cancelled,  // by this side
};
std::string_view word_of(Ending ending);  // as the enumerator is written

struct ExchangeLimits {
  Nanoseconds connecting = std::chrono::seconds(5);    // lookup, connection and TLS
  Nanoseconds first_byte = std::chrono::seconds(300);  // after the request was sent
  Nanoseconds between_bytes = std::chrono::seconds(60);
  Nanoseconds whole = std::chrono::seconds(1800);  // from the connection on
  ResponseLimits answer{.header_bytes = 64 * 1024, .whole_bytes = std::uint64_t{64} << 20};
};

// On the host's monotonic clock; absent: it did not come to that.
struct Exchange {
  Ending ending = Ending::complete;
  Response response{};
  std::optional<Nanoseconds> started{};     // acted on: a connection is taken, or begun
  std::optional<Nanoseconds> sent{};        // the request's first byte went out
  std::optional<Nanoseconds> first_byte{};  // of the answer
  Nanoseconds end{0};
  bool opened_connection = false;  // none was there to be used again
};

class Exchanges {
 public:
  // Is given a part of an answer's body as it comes, whatever the answer's status.
  using Body = std::function<void(std::string_view bytes, Nanoseconds at, const Response& response)>;
  using Done = std::function<void(const Exchange&)>;

  // The URL's target is ignored: each exchange has its own. Looks the host up, within the limit for connecting.
  // InputError when the authorities' file cannot be read.
  Exchanges(Url url, ExchangeLimits limits, BearerToken token = {}, const std::string& authorities = {});
  ~Exchanges();
  Exchanges(const Exchanges&) = delete;
  Exchanges& operator=(const Exchanges&) = delete;

  // All that follows is of one thread: `run` calls back in it, and returns when nothing is left to wait for.
  void run();
  // Calls back at that instant, or at once when it has passed; within some 50 µs where a core is free.
  void at(Nanoseconds instant, std::function<void()> call);
  void post(std::string target, std::string json, Body body, Done done);
  void get(std::string target, Body body, Done done);
  // What is under way ends as cancelled, and calls of `at` that are due later are dropped.
  void cancel_all();
  std::size_t under_way() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace batchscope::http
