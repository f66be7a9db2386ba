// HTTP/1 by Boost.Beast's parser (http/reader.h): the only file that knows it.
#include "http/reader.h"

// Beast 1.74 asserts that at least 5 bytes of a last chunk have come, which "0\r\n" alone has not; what it does then is
// right. So asserts are off here in every build, as in releases; the fuzz targets watch what it reads.
#define BOOST_DISABLE_ASSERTS

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <utility>

namespace batchscope::http {
namespace {

namespace beast = boost::beast;
using beast::error_code;
using beast::string_view;

constexpr int most_interim = 16;  // answers such as 100 Continue before the answer

std::string_view plain(string_view text) { return {text.data(), text.size()}; }

// What Beast's parser calls is a message here: its start, its headers, its body.
template <bool is_request>
class Parser : public beast::http::basic_parser<is_request> {
 public:
  Parser(std::uint32_t header_bytes, std::uint64_t body_bytes) {
    this->header_limit(header_bytes);
    this->body_limit(body_bytes);
    this->eager(true);
  }

  std::string method{}, target{};
  int status = 0, version = 0;  // version: of a request, 11 for HTTP/1.1
  Headers headers{};
  std::function<bool(std::string_view)> body{};

 private:
  void on_request_impl(beast::http::verb, string_view name, string_view where, int number, error_code&) override {
    version = number;
    method = plain(name);
    target = plain(where);
  }
  void on_response_impl(int code, string_view, int, error_code& error) override {
    status = code;
    if (code < 100) error = beast::http::error::bad_status;  // Beast takes any three digits
  }
  void on_field_impl(beast::http::field, string_view name, string_view value, error_code&) override {
    if (!is_in_body_) headers.add(std::string(plain(name)), std::string(plain(value)));  // trailers are nobody's
  }
  void on_header_impl(error_code&) override { is_in_body_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view bytes, error_code& error) override {
    if (!bytes.empty() && body && !body(plain(bytes))) error = beast::http::error::body_limit;
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view bytes, error_code& error) override {
    return on_body_impl(bytes, error);
  }
  void on_finish_impl(error_code&) override {}

  bool is_in_body_ = false;
};

// Bytes that the parser has not taken yet, and the parser over them.
template <bool is_request>
struct Feed {
  std::unique_ptr<Parser<is_request>> parser{};
  std::string waiting{};
  error_code error{};

  Progress go_on() {
    while (!waiting.empty() && !parser->is_done()) {
      const std::size_t taken = parser->put(boost::asio::buffer(waiting.data(), waiting.size()), error);
      waiting.erase(0, taken);
      if (error == beast::http::error::need_more) break;
      if (error) return Progress::refused;
      if (taken == 0) break;
    }
    error = {};
    return parser->is_done() ? Progress::complete : Progress::needs_more;
  }
};

}  // namespace

struct RequestReader::State {
  RequestLimits limits;
  Feed<true> feed{};
  Request request{};
  std::uint64_t taken = 0;  // of this request, at most
  int refusal = 400;
  bool is_continued = false;

  explicit State(RequestLimits given) : limits(given) { begin(); }

  void begin() {
    request = {};
    is_continued = false;
    feed.parser = std::make_unique<Parser<true>>(limits.header_bytes, limits.body_bytes);
    feed.parser->body = [this](std::string_view bytes) {
      request.body += bytes;
      return true;
    };
    taken = feed.waiting.size();
  }

  Progress refuse(int status) {
    refusal = status;
    feed.waiting = {};
    return Progress::refused;
  }

  Progress go_on() {
    const Progress progress = feed.go_on();
    const bool in_headers = !feed.parser->is_header_done();
    if (progress == Progress::refused) {
      if (feed.error == beast::http::error::header_limit) return refuse(431);
      return refuse(feed.error == beast::http::error::body_limit ? 413 : 400);
    }
    if (progress == Progress::complete) return finish();
    const std::uint64_t most = limits.header_bytes + std::uint64_t{limits.body_bytes} + limits.framing_bytes;
    if (taken > most) return refuse(in_headers ? 431 : 413);
    return progress;
  }

  Progress finish() {
    auto& parser = *feed.parser;
    // A coding that is not chunked last leaves open where the request ends.
    if (parser.headers.count("Transfer-Encoding") > 0 && !parser.chunked()) return refuse(400);
    request.method = std::move(parser.method);
    request.target = std::move(parser.target);
    request.headers = std::move(parser.headers);
    return Progress::complete;
  }
};

RequestReader::RequestReader(RequestLimits limits) : state_(std::make_unique<State>(limits)) {}
RequestReader::~RequestReader() = default;

Progress RequestReader::take(std::string_view bytes) {
  state_->feed.waiting += bytes;
  state_->taken += bytes.size();
  return state_->go_on();
}

Progress RequestReader::next() {
  state_->begin();
  return state_->go_on();
}

const Request& RequestReader::request() const { return state_->request; }
bool RequestReader::keeps_connection() const { return state_->feed.parser->keep_alive(); }
bool RequestReader::takes_chunks() const { return state_->feed.parser->version >= 11; }
void RequestReader::drop_body() { std::string().swap(state_->request.body); }

bool RequestReader::expects_continue() {
  const auto& parser = *state_->feed.parser;
  if (state_->is_continued || !parser.is_header_done() || parser.is_done() || !takes_chunks()) return false;
  const auto expected = parser.headers.find("Expect");
  return state_->is_continued = expected && equal_but_for_case(*expected, "100-continue");
}

int RequestReader::refusal() const { return state_->refusal; }
bool RequestReader::has_begun() const { return state_->taken > 0; }

struct ResponseReader::State {
  ResponseLimits limits;
  Body body;
  Feed<false> feed{};
  Response response{};
  std::uint64_t taken = 0;
  int interim = 0;
  bool too_long = false;

  State(ResponseLimits given, Body sink) : limits(given), body(std::move(sink)) { begin(); }

  void begin() {
    feed.parser = std::make_unique<Parser<false>>(limits.header_bytes, limits.whole_bytes);
    feed.parser->body = [this](std::string_view bytes) {
      if (response.status == 0) publish();  // before its body
      return is_interim() || body(bytes);
    };
  }

  bool is_interim() const { return feed.parser->status / 100 == 1; }
  void publish() {
    response.status = feed.parser->status;
    response.headers = feed.parser->headers;
  }

  Progress go_on() {
    while (true) {
      const Progress progress = feed.go_on();
      if (progress == Progress::refused) {
        too_long = feed.error == beast::http::error::header_limit || feed.error == beast::http::error::body_limit;
        return progress;
      }
      if (progress == Progress::complete && is_interim()) {  // 100 Continue, 103 Early Hints: the answer follows
        if (++interim > most_interim) return Progress::refused;
        begin();
        continue;
      }
      if (feed.parser->is_header_done() && !is_interim() && response.status == 0) publish();
      return progress;
    }
  }
};

ResponseReader::ResponseReader(ResponseLimits limits, Body body)
    : state_(std::make_unique<State>(limits, std::move(body))) {}
ResponseReader::~ResponseReader() = default;

Progress ResponseReader::take(std::string_view bytes) {
  State& state = *state_;
  if (bytes.size() > state.limits.whole_bytes - state.taken) {
    state.too_long = true;
    return Progress::refused;
  }
  state.taken += bytes.size();
  state.feed.waiting += bytes;
  return state.go_on();
}

Progress ResponseReader::end() {
  auto& feed = state_->feed;
  if (!feed.parser->got_some()) return Progress::refused;
  if (feed.parser->is_done()) return Progress::complete;
  feed.parser->put_eof(feed.error);
  return feed.error || !feed.parser->is_done() ? Progress::refused : Progress::complete;
}

bool ResponseReader::has_begun() const { return state_->taken > 0; }
const Response& ResponseReader::response() const { return state_->response; }
bool ResponseReader::is_too_long() const { return state_->too_long; }
bool ResponseReader::keeps_connection() const {
  const auto& feed = state_->feed;
  return feed.parser->is_done() && feed.parser->keep_alive() && feed.waiting.empty();
}

}  // namespace batchscope::http
