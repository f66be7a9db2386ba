// Connections that follow their scripts, on Boost.Asio (http/script_server.h).
#include "http/script_server.h"

#include <fmt/format.h>
#include <sys/prctl.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <unordered_set>
#include <utility>

#include "http/listen.h"

namespace batchscope::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Instant = std::chrono::steady_clock::time_point;  // CLOCK_MONOTONIC, as monotonic_clock() is

constexpr auto between_looks = std::chrono::milliseconds(50);

}  // namespace

struct ScriptServer::State {
  class Connection;

  ScriptServerOptions options;
  Handler handler;
  Late late;
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::steady_timer timer{io}, accept_again{io};
  std::unordered_set<std::shared_ptr<Connection>> connections{};

  void accept();
  void look(const std::atomic<bool>& stop);
};

class ScriptServer::State::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(State& server, tcp::socket socket)
      : server_(server), socket_(std::move(socket)), timer_(server.io), reader_(server.options.request) {}

  void read() {
    socket_.async_read_some(asio::buffer(input_), [self = shared_from_this()](error_code error, std::size_t count) {
      self->is_reading_ = false;
      if (error) return self->end();
      // Bytes that come while a script runs belong to the next request.
      if (self->script_) {
        self->early_.append(self->input_.data(), count);
        if (self->early_.size() > self->server_.options.request.body_bytes) return self->end();
        return self->read();
      }
      self->go_on(self->reader_.take({self->input_.data(), count}));
    });
    is_reading_ = true;
  }

  void end() {
    if (std::exchange(has_ended_, true)) return;
    error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
    server_.connections.erase(shared_from_this());
  }

 private:
  void go_on(Progress progress) {
    if (progress == Progress::needs_more) return read();
    if (progress == Progress::refused) {
      const int status = reader_.refusal();
      script_ = [step = std::optional<ScriptStep>(
                     {.bytes = whole_answer(status, "text/plain", fmt::format("{}\n", reason_of(status))),
                      .after = ScriptStep::After::close})]() mutable { return std::exchange(step, std::nullopt); };
    } else {
      script_ = server_.handler(reader_.request(), monotonic_clock().now());
    }
    if (!is_reading_) read();  // to see the client leave
    next_step();
  }

  void next_step() {
    const auto step = script_();
    if (!step) return;  // silence
    step_ = std::move(*step);
    if (step_.at <= monotonic_clock().now()) return perform();
    timer_.expires_at(Instant(step_.at));
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (!error && !self->has_ended_) self->perform();
    });
  }

  void perform() {
    if (server_.late && step_.at > Nanoseconds(0)) server_.late(monotonic_clock().now() - step_.at);
    asio::async_write(socket_, asio::buffer(step_.bytes), [self = shared_from_this()](error_code error, std::size_t) {
      if (error || self->has_ended_) return self->end();
      self->after();
    });
  }

  void after() {
    error_code ignored;
    switch (step_.after) {
      case ScriptStep::After::go_on:
        return next_step();
      case ScriptStep::After::reset:
        socket_.set_option(asio::socket_base::linger(true, 0), ignored);
        return end();
      case ScriptStep::After::close:
        // What the client still sends is read until it leaves: closing at once would reset the connection.
        socket_.shutdown(tcp::socket::shutdown_send, ignored);
        return;
      case ScriptStep::After::keep:
        script_ = nullptr;
        Progress progress = reader_.next();
        if (progress == Progress::needs_more && !early_.empty()) progress = reader_.take(std::exchange(early_, {}));
        if (progress == Progress::needs_more && is_reading_) return;
        return go_on(progress);
    }
  }

  State& server_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  RequestReader reader_;
  Script script_{};
  ScriptStep step_{};
  std::string early_{};
  std::array<char, 16 * 1024> input_{};
  bool is_reading_ = false, has_ended_ = false;
};

void ScriptServer::State::accept() {
  acceptor.async_accept([this](error_code error, tcp::socket socket) {
    if (!acceptor.is_open()) return;
    if (error) {  // no descriptor is free, say: at once again would take all of a core
      accept_again.expires_after(between_looks);
      accept_again.async_wait([this](error_code ended) {
        if (!ended) accept();
      });
      return;
    }
    if (connections.size() < options.connections) {
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      const auto connection = std::make_shared<Connection>(*this, std::move(socket));
      connections.insert(connection);
      connection->read();
    }
    accept();
  });
}

void ScriptServer::State::look(const std::atomic<bool>& stop) {
  if (stop) return io.stop();
  timer.expires_after(between_looks);
  timer.async_wait([this, &stop](error_code error) {
    if (!error) look(stop);
  });
}

ScriptServer::ScriptServer(const ScriptServerOptions& options, std::string_view what, Handler handler, Late late)
    : state_(new State{.options = options, .handler = std::move(handler), .late = std::move(late)}) {
  listen(state_->acceptor, options.host, options.port, what);
  state_->accept();
}

ScriptServer::~ScriptServer() = default;

int ScriptServer::port() const { return state_->acceptor.local_endpoint().port(); }

void ScriptServer::run(const std::atomic<bool>& stop) {
  prctl(PR_SET_TIMERSLACK, 1UL);  // of this thread: the kernel may otherwise add 50 µs to a wait
  state_->io.restart();
  state_->look(stop);
  state_->io.run();
}

std::string whole_answer(int status, std::string_view content_type, std::string_view body, const Headers& headers) {
  std::string text = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n", status,
                                 reason_of(status), content_type, body.size());
  for (const Header& header : headers) text += fmt::format("{}: {}\r\n", header.name, header.value);
  text += "\r\n";
  text += body;
  return text;
}

}  // namespace batchscope::http
