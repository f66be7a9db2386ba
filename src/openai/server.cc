// The door of the service (openai/server.h).
#include "openai/server.h"

#include <atomic>
#include <optional>
#include <utility>

#include "http/host_names.h"

namespace batchscope::openai {
namespace {

constexpr std::uint32_t longest_body = 4 << 20;
constexpr std::size_t most_connections = 2048;  // of one address, too: load generators and proxies have one
constexpr Nanoseconds farewell = std::chrono::milliseconds(150);  // last events get out

http::Page refused(const Refusal& refusal) {
  return {.status = refusal.status,
          .content_type = "application/json",
          .body = std::make_shared<const std::string>(to_json(refusal))};
}

}  // namespace

struct Server::State {
  Service& service;
  const ServerOptions options;
  const http::HostNames names;
  http::Server http;
  std::atomic<bool> stop{false};
  std::optional<Nanoseconds> ended{};

  State(Service& served, const ServerOptions& given)
      : service(served),
        options(given),
        names(given.host, given.names),
        http({.host = given.host,
              .port = given.port,
              .takes_posts = true,
              .request = {.body_bytes = longest_body},
              .connections = most_connections,
              .connections_of_one_address = most_connections,
              .whole_request = std::chrono::seconds(30),
              .whole_answer = std::chrono::seconds(30),
              .requests_of_one_connection = 1'000'000},
             "--listen",
             http::Server::LaterHandler([this](const http::Request& request, std::shared_ptr<http::Reply> later) {
               return answer(request, later);
             }),
             {.answered = [this](std::string_view path, int status) { service.count_answer(path, status); },
              .cut = [this] { service.count_cut(); }}) {}

  std::optional<http::Page> answer(const http::Request& request, const std::shared_ptr<http::Reply>& later) {
    if (!names.admit(request))
      return refused(Refusal(
          421, "this is not a name of this machine; to allow it, start batchscope serve-model with --name NAME"));
    if (request.path() != "/health" && !options.token.admits(request)) {
      http::Page page = refused(Refusal(401, "the bearer token is missing or wrong", "invalid_api_key"));
      page.headers.add("WWW-Authenticate", "Bearer");
      return page;
    }
    return service.answer(request, later);
  }

  void look(bool is_to_stop) {
    if (!is_to_stop) return;
    const Nanoseconds now = monotonic_clock().now();
    if (!ended) {
      service.end();
      ended = now;
    }
    if (now - *ended >= farewell) stop = true;
  }
};

Server::Server(Service& service, const ServerOptions& options) : state_(std::make_unique<State>(service, options)) {}
Server::~Server() = default;

int Server::port() const { return state_->http.port(); }

void Server::run(const std::function<bool()>& is_to_stop) {
  state_->http.run(state_->stop, [&] { state_->look(is_to_stop()); });
}

void Server::post(std::function<void(Service&)> work) {
  state_->http.post([this, work = std::move(work)] { work(state_->service); });
}

}  // namespace batchscope::openai
