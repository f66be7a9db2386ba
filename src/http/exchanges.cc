// Links, one a connection, and the exchanges that pass over them, on Boost.Asio (http/exchanges.h).
#include "http/exchanges.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <unordered_set>
#include <utility>
#include <vector>

#include "http/resolver.h"
#include "http/trust.h"

namespace batchscope::http {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using Instant = std::chrono::steady_clock::time_point;  // CLOCK_MONOTONIC, as monotonic_clock() is

constexpr std::array<std::string_view, 15> ending_words{
    "complete", "no_such_host", "no_connection", "connect_timeout", "no_trust", "no_token", "reset",    "no_answer",
    "cut",      "silent",       "stalled",       "timed_out",       "not_http", "too_long", "cancelled"};

Nanoseconds now() { return monotonic_clock().now(); }
Instant instant_of(Nanoseconds time) { return Instant(time); }

struct Asked {
  std::string text{};  // the whole request
  Exchanges::Body body{};
  Exchanges::Done done{};
};

}  // namespace

std::string_view word_of(Ending ending) { return ending_words.at(static_cast<std::size_t>(ending)); }

struct Exchanges::State {
  class Link;

  Url url;
  ExchangeLimits limits;
  BearerToken token;
  asio::io_context io{1};
  std::optional<ssl::context> tls{};
  Resolver resolver{};
  std::vector<tcp::endpoint> endpoints{};
  Ending lookup = Ending::complete;
  std::vector<std::shared_ptr<Link>> idle{};  // kept, the one used last at the end
  std::unordered_set<std::shared_ptr<Link>> busy{};
  std::unordered_set<asio::steady_timer*> timers{};

  void look_up();
  void ask(Request request, Body body, Done done);
  void fail(const Asked& asked, Ending ending);
};

// One connection, and the exchange that it carries.
class Exchanges::State::Link : public std::enable_shared_from_this<Link> {
 public:
  explicit Link(State& owner) : owner_(owner), deadline_timer_(owner.io) {
    owner.tls ? static_cast<void>(secure_.emplace(owner.io, *owner.tls)) : static_cast<void>(plain_.emplace(owner.io));
  }

  void begin(Asked asked) {
    asked_ = std::move(asked);
    exchange_ = {.started = now(), .opened_connection = !is_connected_};
    reader_.emplace(owner_.limits.answer, [this](std::string_view bytes) {
      asked_.body(bytes, read_at_, reader_->response());
      return !has_ended_;
    });
    has_ended_ = false;
    whole_ = *exchange_.started + owner_.limits.whole;
    is_connected_ ? send() : connect();
  }

  // What the server has said since the last exchange: its end, or what nobody asked for. TLS sends tickets of its own.
  bool is_alive() {
    char byte = 0;
    const ssize_t got = recv(socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got < 0 ? errno == EAGAIN || errno == EWOULDBLOCK : got > 0 && secure_.has_value();
  }

  void cancel() { finish(Ending::cancelled); }

  void close() {
    error_code ignored;
    socket().close(ignored);
    deadline_timer_.cancel();
  }

 private:
  tcp::socket& socket() { return secure_ ? secure_->next_layer() : *plain_; }

  // Timers cost more than deadlines: one that fires too early looks again.
  void set_deadline(Nanoseconds from_now, Ending ending) {
    const Nanoseconds instant = now() + from_now;
    deadline_ = std::min(instant, whole_);
    at_deadline_ = instant <= whole_ ? ending : Ending::timed_out;
    if (!is_timing_ || deadline_timer_.expiry() > instant_of(deadline_)) watch();
  }
  void watch() {
    is_timing_ = true;
    deadline_timer_.expires_at(instant_of(deadline_));  // which ends an earlier wait
    deadline_timer_.async_wait([self = shared_from_this()](error_code error) {
      if (error) return;
      self->is_timing_ = false;
      if (self->has_ended_) return;
      self->deadline_ <= now() ? self->finish(self->at_deadline_) : self->watch();
    });
  }

  void connect() {
    set_deadline(owner_.limits.connecting, Ending::connect_timeout);
    asio::async_connect(socket(), owner_.endpoints,
                        [self = shared_from_this()](error_code error, const tcp::endpoint&) {
                          if (self->has_ended_) return;
                          if (error) return self->finish(Ending::no_connection);
                          error_code ignored;
                          self->socket().set_option(tcp::no_delay(true), ignored);
                          self->secure_ ? self->shake_hands() : self->send();
                        });
  }

  void shake_hands() {
    const std::string& host = owner_.url.host;
    if (!is_ip_address(host)) SSL_set_tlsext_host_name(secure_->native_handle(), host.c_str());
    secure_->set_verify_mode(ssl::verify_peer);
    secure_->set_verify_callback(ssl::host_name_verification(host));
    secure_->async_handshake(ssl::stream_base::client, [self = shared_from_this()](error_code error) {
      if (self->has_ended_) return;
      error ? self->finish(Ending::no_trust) : self->send();
    });
  }

  void send() {
    is_connected_ = true;
    set_deadline(owner_.limits.first_byte, Ending::silent);
    exchange_.sent = now();
    is_written_ = false;
    const auto written = [self = shared_from_this()](error_code error, std::size_t) {
      self->is_written_ = !error;
      // A server may answer and close before it has read all: what it says is read all the same.
      if (!self->has_ended_ && error && error != asio::error::broken_pipe) self->fail(error);
    };
    secure_ ? asio::async_write(*secure_, asio::buffer(asked_.text), written)
            : asio::async_write(*plain_, asio::buffer(asked_.text), written);
    read();
  }

  void read() {
    const auto got = [self = shared_from_this()](error_code error, std::size_t count) {
      if (self->has_ended_) return;
      self->read_at_ = now();
      error ? self->fail(error) : self->take({self->input_.data(), count});
    };
    secure_ ? secure_->async_read_some(asio::buffer(input_), got) : plain_->async_read_some(asio::buffer(input_), got);
  }

  void take(std::string_view bytes) {
    if (!exchange_.first_byte) exchange_.first_byte = read_at_;
    const Progress progress = reader_->take(bytes);
    if (has_ended_) return;  // cancelled by who is given the bytes
    if (progress == Progress::refused) return finish(reader_->is_too_long() ? Ending::too_long : Ending::not_http);
    if (progress == Progress::complete) return finish(Ending::complete);
    set_deadline(owner_.limits.between_bytes, Ending::stalled);
    read();
  }

  void fail(error_code error) {
    const bool is_end = error == asio::error::eof || error == ssl::error::stream_truncated;
    if (is_end && reader_->end() == Progress::complete) return finish(Ending::complete);
    if (!is_end) return finish(Ending::reset);
    finish(reader_->has_begun() ? Ending::cut : Ending::no_answer);
  }

  void finish(Ending ending) {
    if (std::exchange(has_ended_, true)) return;
    exchange_.ending = ending;
    exchange_.end = ending == Ending::complete ? std::max(read_at_, *exchange_.started) : now();
    exchange_.response = reader_->response();
    const bool is_kept = ending == Ending::complete && is_written_ && reader_->keeps_connection();
    const std::shared_ptr<Link> self = shared_from_this();
    owner_.busy.erase(self);
    is_timing_ = false;
    deadline_timer_.cancel();
    if (is_kept)
      owner_.idle.push_back(self);
    else
      close();
    const Done done = std::move(asked_.done);
    asked_.done = nullptr;
    done(exchange_);  // which may begin the next one here
  }

  State& owner_;
  std::optional<tcp::socket> plain_{};
  std::optional<ssl::stream<tcp::socket>> secure_{};
  asio::steady_timer deadline_timer_;
  std::optional<ResponseReader> reader_{};
  std::array<char, 16 * 1024> input_{};
  Asked asked_{};
  Exchange exchange_{};
  Nanoseconds deadline_{0}, whole_{0}, read_at_{0};
  Ending at_deadline_ = Ending::timed_out;
  bool is_connected_ = false, is_written_ = false, is_timing_ = false, has_ended_ = true;
};

void Exchanges::State::look_up() {
  switch (resolver.find(url.host, url.port, std::chrono::steady_clock::now() + limits.connecting, endpoints)) {
    case Resolver::Result::found:
      return;
    case Resolver::Result::none:
      lookup = Ending::no_such_host;
      return;
    case Resolver::Result::too_late:
      lookup = Ending::connect_timeout;
      return;
  }
}

void Exchanges::State::fail(const Asked& asked, Ending ending) {
  const Nanoseconds instant = now();
  // Not at once: who asks has not heard that it was asked.
  asio::post(io,
             [done = asked.done, ending, instant] { done({.ending = ending, .started = instant, .end = instant}); });
}

void Exchanges::State::ask(Request request, Body body, Done done) {
  const auto authorization = token.header_value();
  Asked asked{.body = std::move(body), .done = std::move(done)};
  if (!authorization || lookup != Ending::complete) return fail(asked, !authorization ? Ending::no_token : lookup);
  request.headers.add("Accept", "text/event-stream, application/json");
  request.headers.add("User-Agent", "batchscope");
  if (!authorization->empty()) request.headers.add("Authorization", *authorization);
  asked.text = text_of(request, url.host_header());
  std::shared_ptr<Link> link;
  while (link == nullptr && !idle.empty()) {
    link = std::move(idle.back());
    idle.pop_back();
    if (link->is_alive()) break;
    link->close();
    link = nullptr;
  }
  if (link == nullptr) link = std::make_shared<Link>(*this);
  busy.insert(link);
  link->begin(std::move(asked));
}

Exchanges::Exchanges(Url url, ExchangeLimits limits, BearerToken token, const std::string& authorities)
    : state_(new State{.url = std::move(url), .limits = limits, .token = std::move(token)}) {
  if (state_->url.is_tls) state_->tls.emplace(trusting_context(authorities));
  state_->look_up();
}

Exchanges::~Exchanges() {
  for (const auto& link : state_->idle) link->close();
  for (const auto& link : state_->busy) link->close();
}

void Exchanges::run() {
  prctl(PR_SET_TIMERSLACK, 1UL);  // of this thread: the kernel may otherwise add 50 µs to a wait
  state_->io.restart();
  state_->io.run();
}

void Exchanges::at(Nanoseconds instant, std::function<void()> call) {
  auto timer = std::make_shared<asio::steady_timer>(state_->io, instant_of(instant));
  state_->timers.insert(timer.get());
  timer->async_wait([this, timer, call = std::move(call)](error_code error) {
    state_->timers.erase(timer.get());
    if (!error) call();
  });
}

void Exchanges::post(std::string target, std::string json, Body body, Done done) {
  state_->ask({.method = "POST",
               .target = std::move(target),
               .headers = {{"Content-Type", "application/json"}},
               .body = std::move(json)},
              std::move(body), std::move(done));
}

void Exchanges::get(std::string target, Body body, Done done) {
  state_->ask({.target = std::move(target)}, std::move(body), std::move(done));
}

void Exchanges::cancel_all() {
  for (asio::steady_timer* timer : std::unordered_set(state_->timers)) timer->cancel();
  for (const auto& link : std::unordered_set(state_->busy)) link->cancel();
}

std::size_t Exchanges::under_way() const { return state_->busy.size(); }

}  // namespace batchscope::http
