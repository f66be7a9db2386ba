// Messages out of bytes as they come from a socket, in any pieces. What a message may make of memory is bounded here,
// headers, framing and all; how long it may take is bounded by whoever owns the socket.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "http/message.h"

namespace batchscope::http {

enum class Progress {
  needs_more,  // bytes
  complete,
  refused,  // the connection cannot go on
};

struct RequestLimits {
  std::uint32_t header_bytes = 8 * 1024;  // request line included
  std::uint32_t body_bytes = 1024;
  std::uint32_t framing_bytes = 4 * 1024;  // of chunks: their sizes, extensions and trailers
};

// The requests of one connection, one after the other.
class RequestReader {
 public:
  explicit RequestReader(RequestLimits limits = {});
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  Progress take(std::string_view bytes);
  // Of a complete request.
  const Request& request() const;
  bool keeps_connection() const;
  bool takes_chunks() const;  // HTTP/1.1
  void drop_body();
  // Whether the client waits to hear that its body is welcome ("Expect: 100-continue"); true once a request.
  bool expects_continue();
  // The status that says why a request was refused: 400, 413, 431.
  int refusal() const;
  // On to the next request, of which bytes may have come already.
  Progress next();
  bool has_begun() const;  // something of a request has come

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct ResponseLimits {
  std::uint32_t header_bytes = 64 * 1024;
  std::uint64_t whole_bytes = 4 << 20;  // of all that comes: headers, interim answers, framing, body
};

struct Response {
  int status = 0;
  Headers headers{};
};

// One answer. Its body is handed over as it comes, so that a stream can be followed.
class ResponseReader {
 public:
  // Returns whether more is wanted.
  using Body = std::function<bool(std::string_view)>;
  ResponseReader(ResponseLimits limits, Body body);
  ~ResponseReader();
  ResponseReader(const ResponseReader&) = delete;
  ResponseReader& operator=(const ResponseReader&) = delete;

  Progress take(std::string_view bytes);
  // The server has closed the connection, which is the end of a body without a length.
  Progress end();
  const Response& response() const;
  bool has_begun() const;         // something of an answer has come
  bool keeps_connection() const;  // of a complete answer: another request may follow
  bool is_too_long() const;       // why it was refused; else it is not HTTP

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace batchscope::http
