// One connection to an inference server: what is asked of it, what comes back, and what went wrong in words.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/engine_spec.h"
#include "http/client.h"

namespace batchscope {

struct ServerAnswer {
  http::Answer transfer{};
  std::string body{};

  bool is_ok() const { return transfer.fault == http::Fault::none && transfer.response.status == 200; }
  // Few words, to be counted: "503 Service Unavailable", "did not answer in time". "": nothing went wrong.
  std::string failure() const;
  // The same with what the server says of it.
  std::string explained_failure() const;
  // Another time it may be answered: a connection that failed, 408, 429, 5xx.
  bool may_pass() const;
};

class ServerClient {
 public:
  // InputError where the token cannot be read. `timeout`: of each request.
  ServerClient(const EngineSpec& server, Nanoseconds timeout);

  // `path` of the OpenAI API, below the address given: "/completions"; or, of the server itself, beside it: "/version".
  enum class Of { api, server };
  ServerAnswer get(std::string_view path, Of of = Of::server);
  ServerAnswer post(std::string_view path, const nlohmann::json& body, Of of = Of::api);

 private:
  ServerAnswer ask(const http::Request& request);

  std::string api_, server_;  // what paths begin with
  std::unique_ptr<http::Client> client_;
};

http::BearerToken token_of(const ServerAccess& access);

}  // namespace batchscope
