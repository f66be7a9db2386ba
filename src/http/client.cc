// Requests and their answers over one connection at a time, on Boost.Asio and OpenSSL (http/client.h).
#include "http/client.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "http/resolver.h"
#include "http/trust.h"

namespace batchscope::http {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using Deadline = std::chrono::steady_clock::time_point;

constexpr std::size_t longest_token = 16 * 1024;

std::string without_line_end(std::string token) {
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) token.pop_back();
  return token;
}

bool is_token(const std::string& token) {
  return !token.empty() && token.size() <= longest_token &&
         token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=:") ==
             std::string::npos;
}

// One connection: each operation ends by itself, or with its deadline.
class Connection {
 public:
  Connection(ssl::context* tls) : tls_(tls) {}

  Fault open(const std::vector<tcp::endpoint>& endpoints, const std::string& host, Deadline deadline) {
    const auto error = perform(deadline, [&](auto done) { asio::async_connect(socket(), endpoints, done); });
    if (error) return Fault::no_connection;
    error_code ignored;
    socket().set_option(tcp::no_delay(true), ignored);
    if (tls_ == nullptr) return Fault::none;
    if (!is_ip_address(host)) SSL_set_tlsext_host_name(stream_->native_handle(), host.c_str());
    stream_->set_verify_mode(ssl::verify_peer);
    stream_->set_verify_callback(ssl::host_name_verification(host));
    const auto refused =
        perform(deadline, [&](auto done) { stream_->async_handshake(ssl::stream_base::client, done); });
    if (refused == asio::error::timed_out) return Fault::too_late;
    return refused ? Fault::no_trust : Fault::none;
  }

  error_code write(const std::string& bytes, Deadline deadline) {
    return perform(deadline, [&](auto done) {
      tls_ != nullptr ? asio::async_write(*stream_, asio::buffer(bytes), done)
                      : asio::async_write(plain_, asio::buffer(bytes), done);
    });
  }

  // What has come; "" at the end.
  error_code read(std::string_view& bytes, Deadline deadline) {
    const auto error = perform(deadline, [&](auto done) {
      tls_ != nullptr ? stream_->async_read_some(asio::buffer(input_), done)
                      : plain_.async_read_some(asio::buffer(input_), done);
    });
    bytes = {input_.data(), error ? 0 : count_};
    return error;
  }

 private:
  tcp::socket& socket() { return tls_ != nullptr ? stream_->next_layer() : plain_; }

  template <class Start>
  error_code perform(Deadline deadline, Start start) {
    std::optional<error_code> result;
    count_ = 0;
    start([this, &result](error_code error, auto... more) {
      result = error;
      if constexpr (sizeof...(more) == 1 && (std::is_same_v<decltype(more), std::size_t> && ...)) count_ = (more, ...);
    });
    io_.restart();
    io_.run_until(deadline);
    if (result) return *result;
    error_code ignored;
    socket().close(ignored);
    io_.restart();
    io_.run();  // what was under way returns
    return asio::error::timed_out;
  }

  asio::io_context io_{1};
  ssl::context* tls_;
  tcp::socket plain_{io_};
  std::optional<ssl::stream<tcp::socket>> stream_ =
      tls_ != nullptr ? std::optional<ssl::stream<tcp::socket>>(std::in_place, io_, *tls_) : std::nullopt;
  std::array<char, 16 * 1024> input_{};
  std::size_t count_ = 0;
};

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}
bool keeps_method(int status) { return status == 307 || status == 308; }

}  // namespace

const char* words_of(Fault fault) {
  switch (fault) {
    case Fault::none:
      return nullptr;
    case Fault::no_such_host:
      return "has a host name that is unknown";
    case Fault::no_connection:
      return "refuses connections";
    case Fault::no_trust:
      return "has a certificate that is not trusted";
    case Fault::too_late:
      return "did not answer in time";
    case Fault::too_long:
      return "gave an answer that is too long";
    case Fault::not_http:
      return "does not speak HTTP";
    case Fault::cut_off:
      return "closed the connection before its answer was complete";
    case Fault::bad_redirect:
      return "redirects to where no request can follow";
    case Fault::no_token:
      return "cannot be asked: the token file cannot be read";
  }
  return nullptr;
}

BearerToken BearerToken::from_file(const std::string& path, std::string_view what) {
  BearerToken token;
  token.file_ = path;
  if (!is_token(without_line_end(read_file(path))))
    throw InputError("{}: {} does not hold a token: one line of letters, digits and -._~+/=:", what, path);
  return token;
}

BearerToken BearerToken::from_variable(const std::string& name, std::string_view what) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || !is_token(value))
    throw InputError("{}: the environment variable {} does not hold a token: letters, digits and -._~+/=:", what, name);
  BearerToken token;
  token.token_ = value;
  return token;
}

BearerToken BearerToken::from_flags(const std::string& file, const std::string& variable, const std::string& flag) {
  if (!file.empty() && !variable.empty())
    throw InputError("{0}-file and {0}-variable cannot be combined; give one", flag);
  if (!file.empty()) return from_file(file, flag + "-file");
  if (!variable.empty()) return from_variable(variable, flag + "-variable");
  return {};
}

std::optional<std::string> BearerToken::header_value() const {
  if (file_.empty()) return token_.empty() ? "" : "Bearer " + token_;
  try {
    std::string token = without_line_end(read_file(file_));
    if (is_token(token)) return "Bearer " + token;
  } catch (const InputError&) {
  }
  return std::nullopt;
}

bool BearerToken::admits(const Request& request) const {
  const auto own = header_value();
  if (own && own->empty()) return true;
  const auto given = request.headers.find("Authorization");
  return own && given && given->size() == own->size() && CRYPTO_memcmp(given->data(), own->data(), own->size()) == 0;
}

struct Client::State {
  Url url;
  ClientOptions options;
  Resolver resolver{};
  std::optional<ssl::context> tls{};
  std::unique_ptr<Connection> kept{};  // open, for the next request; null: none
  Url kept_to{};

  ssl::context* tls_of(const Url& asked) {
    if (!asked.is_tls) return nullptr;
    if (!tls) tls.emplace(trusting_context(options.authorities));
    return &*tls;
  }

  Fault connect(Connection& connection, const Url& asked, Deadline whole) {
    const Deadline deadline = std::min(whole, std::chrono::steady_clock::now() + options.connecting);
    std::vector<tcp::endpoint> endpoints;
    switch (resolver.find(asked.host, asked.port, deadline, endpoints)) {
      case Resolver::Result::too_late:
        return Fault::too_late;
      case Resolver::Result::none:
        return Fault::no_such_host;
      case Resolver::Result::found:
        break;
    }
    return connection.open(endpoints, asked.host, deadline);
  }

  Answer ask(const Url& asked, Request request, const std::string& token, const ResponseReader::Body& body,
             ResponseLimits& left, Deadline deadline) {
    auto connection = kept && kept_to.is_same_server(asked) ? std::move(kept) : nullptr;
    kept.reset();
    request.target = asked.target;
    request.headers.add("Connection", options.keeps_connection ? "keep-alive" : "close");
    if (!token.empty()) request.headers.add("Authorization", token);
    const std::string text = text_of(request, asked.host_header());
    if (connection != nullptr) {
      const Answer answer = exchange(connection, text, body, left, deadline);
      if (answer.first_byte > Nanoseconds(0) || answer.fault == Fault::too_late) return keep(answer, connection, asked);
    }
    connection = std::make_unique<Connection>(tls_of(asked));
    if (const Fault fault = connect(*connection, asked, deadline); fault != Fault::none) return {.fault = fault};
    return keep(exchange(connection, text, body, left, deadline), connection, asked);
  }

  Answer keep(const Answer& answer, std::unique_ptr<Connection>& connection, const Url& asked) {
    kept = std::move(connection);
    kept_to = asked;
    return answer;
  }

  // Over an open connection, which is gone afterwards unless it can be used again.
  Answer exchange(std::unique_ptr<Connection>& used, const std::string& text, const ResponseReader::Body& body,
                  ResponseLimits& left, Deadline deadline) {
    std::unique_ptr<Connection> connection = std::move(used);
    Answer answer{.sent = monotonic_clock().now()};
    const auto failed = [&](Fault fault) {
      answer.fault = fault;
      return answer;
    };
    const error_code unsent = connection->write(text, deadline);
    if (unsent == asio::error::timed_out) return failed(Fault::too_late);
    ResponseReader* reading = nullptr;
    ResponseReader reader(
        left, [&](std::string_view bytes) { return is_redirect(reading->response().status) || body(bytes); });
    reading = &reader;
    Progress progress = Progress::needs_more;
    while (progress == Progress::needs_more) {
      std::string_view bytes;
      const error_code error = connection->read(bytes, deadline);
      if (error == asio::error::timed_out) return failed(Fault::too_late);
      if (!bytes.empty() && answer.first_byte == Nanoseconds(0)) answer.first_byte = monotonic_clock().now();
      left.whole_bytes -= std::min<std::uint64_t>(left.whole_bytes, bytes.size());
      progress = error ? reader.end() : reader.take(bytes);
      if (error && progress == Progress::refused) return failed(Fault::cut_off);
      if (is_redirect(reader.response().status)) break;  // its body is nobody's
    }
    if (progress == Progress::refused) return failed(reader.is_too_long() ? Fault::too_long : Fault::not_http);
    answer.end = monotonic_clock().now();
    answer.response = reader.response();
    if (options.keeps_connection && progress == Progress::complete && reader.keeps_connection())
      used = std::move(connection);
    return answer;
  }
};

Client::Client(Url url, ClientOptions options)
    : state_(new State{.url = std::move(url), .options = std::move(options)}) {
  state_->tls_of(state_->url);  // its certificates can be read
}

Client::~Client() = default;

const Url& Client::url() const { return state_->url; }

Answer Client::get(const Headers& headers, const ResponseReader::Body& body) {
  return ask({.target = state_->url.target, .headers = headers}, body);
}

Answer Client::ask(const Request& request, const ResponseReader::Body& body) {
  State& state = *state_;
  const Deadline deadline = std::chrono::steady_clock::now() + state.options.whole;
  const auto token = state.options.token.header_value();
  if (!token) return {.fault = Fault::no_token};
  ResponseLimits left = state.options.limits;
  Url url = state.url;
  url.target = request.target;
  for (int redirects = 0; redirects <= state.options.redirects; ++redirects) {
    Answer answer = state.ask(url, request, url.is_same_server(state.url) ? *token : "", body, left, deadline);
    if (answer.fault != Fault::none || !is_redirect(answer.response.status)) return answer;
    const auto location = answer.response.headers.find("Location");
    const auto next = location ? redirected(url, std::string(*location)) : std::nullopt;
    if (!next || (request.method != "GET" && !keeps_method(answer.response.status)))
      return {.fault = Fault::bad_redirect};
    url = *next;
  }
  return {.fault = Fault::bad_redirect};
}

}  // namespace batchscope::http
