// A small HTTP/1.1 server: pages that all clients share, and answers that are made later and in pieces. One thread answers
// all connections. What clients can cost is bounded, whatever they send or do not send: bytes of a request and of all
// requests, time of a request and of its answer, bytes that a client has not taken yet, connections in all and of one
// address. Where there are too many, those that have waited longest make room.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "http/message.h"
#include "http/reader.h"

namespace batchscope::http {

struct Page {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  Headers headers{};
  std::shared_ptr<const std::string> body{};  // of all clients together: nothing is copied for one
};
Page text_page(int status, std::string text);

// An answer that is made later; a whole one, or a stream. To be used in the server's thread (Server::post leads there). Of a
// client that has gone nothing is heard any more: pieces for it are dropped. A reply that is let go of unfinished ends the
// connection.
class Reply {
 public:
  virtual ~Reply() = default;
  virtual void send(Page page) = 0;
  // A stream, whose length nobody knows: 200 and its headers, pieces, its end.
  virtual void begin(std::string_view content_type) = 0;
  virtual void write(std::string_view piece) = 0;
  virtual void end() = 0;
  // Called once if the client goes, or is cut, before the answer has been made.
  virtual void when_gone(std::function<void()> gone) = 0;
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any that is free
  bool takes_posts = false;
  RequestLimits request{};
  std::uint64_t bytes_of_requests = 64 << 20;   // of all that are not answered yet
  std::size_t bytes_not_taken = 256 * 1024;     // of a stream, by its client
  std::size_t connections = 512;
  std::size_t connections_of_one_address = 128;            // of IPv6: of one network of 64 bits
  Nanoseconds whole_request = std::chrono::seconds(5);     // from its first byte, or from the connection on
  Nanoseconds whole_answer = std::chrono::seconds(10);     // until the client has taken it; of a stream, what is there
  Nanoseconds between_requests = std::chrono::minutes(2);  // of a connection that is kept
  std::size_t requests_of_one_connection = 1000;
};

class Server {
 public:
  using Handler = std::function<Page(const Request&)>;
  // Absent: the page will go to `later`.
  using LaterHandler = std::function<std::optional<Page>(const Request&, std::shared_ptr<Reply> later)>;
  struct Observer {
    std::function<void(std::string_view path, int status)> answered;  // path "": the request was not understood
    std::function<void()> cut;                                        // a client that did not take its page
  };

  // Listens at once; InputError that begins with `what` when it cannot.
  Server(const ServerOptions& options, std::string_view what, Handler handler, Observer observer);
  Server(const ServerOptions& options, std::string_view what, LaterHandler handler, Observer observer);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  // Answers until `stop`, and calls `meanwhile` about twenty times a second, in the same thread as the handler.
  void run(const std::atomic<bool>& stop, const std::function<void()>& meanwhile);
  // Has it called in the thread that runs, soon; from any thread.
  void post(std::function<void()> work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace batchscope::http
