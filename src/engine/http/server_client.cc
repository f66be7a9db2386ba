// Requests to a server over one connection (engine/http/server_client.h).
#include "engine/http/server_client.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "http/error_words.h"

namespace batchscope {
namespace {

constexpr std::uint64_t most_answer_bytes = 256 << 20;
constexpr std::size_t longest_reason = 300;
constexpr Nanoseconds longest_connecting = std::chrono::seconds(10);

http::Url address(const EngineSpec& server) {
  http::Url url = http::parse_url(server.url, "--engine");
  url.target.resize(std::min(url.target.find('?'), url.target.size()));
  while (url.target.ends_with('/')) url.target.pop_back();
  return url;
}

}  // namespace

std::string ServerAnswer::failure() const {
  if (transfer.fault != http::Fault::none) return http::words_of(transfer.fault);
  if (is_ok()) return "";
  const int status = transfer.response.status;
  return fmt::format("{} {}", status, http::reason_of(status));
}

std::string ServerAnswer::explained_failure() const {
  std::string said = transfer.fault == http::Fault::none ? visible(http::error_words(body)) : "";
  if (said.size() > longest_reason) said = said.substr(0, longest_reason) + "…";
  return failure() + (said.empty() ? "" : ": " + said);
}

bool ServerAnswer::may_pass() const {
  using http::Fault;
  const int status = transfer.response.status;
  if (transfer.fault == Fault::none) return status == 408 || status == 429 || status >= 500;
  return transfer.fault == Fault::no_connection || transfer.fault == Fault::too_late ||
         transfer.fault == Fault::cut_off;
}

ServerClient::ServerClient(const EngineSpec& server, Nanoseconds timeout) {
  http::Url url = address(server);
  server_ = http::beside_api(url.target, "");
  api_ = url.target.empty() ? "/v1" : url.target;
  client_ = std::make_unique<http::Client>(std::move(url),
                                           http::ClientOptions{.connecting = std::min(timeout, longest_connecting),
                                                               .whole = timeout,
                                                               .limits = {.whole_bytes = most_answer_bytes},
                                                               .token = token_of(server.access),
                                                               .keeps_connection = true});
}

ServerAnswer ServerClient::ask(const http::Request& request) {
  ServerAnswer answer;
  answer.transfer = client_->ask(request, [&](std::string_view bytes) {
    answer.body += bytes;
    return true;
  });
  return answer;
}

ServerAnswer ServerClient::get(std::string_view path, Of of) {
  return ask(
      {.target = (of == Of::api ? api_ : server_) + std::string(path), .headers = {{"User-Agent", "batchscope"}}});
}

ServerAnswer ServerClient::post(std::string_view path, const nlohmann::json& body, Of of) {
  return ask({.method = "POST",
              .target = (of == Of::api ? api_ : server_) + std::string(path),
              .headers = {{"User-Agent", "batchscope"}, {"Content-Type", "application/json"}},
              .body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)});
}

http::BearerToken token_of(const ServerAccess& access) {
  return http::BearerToken::from_flags(access.token_file, access.token_variable, "--token");
}

}  // namespace batchscope
