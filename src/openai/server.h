// The HTTP server of `batchscope serve-model` (docs/serving.md): who may ask, and in which thread. What a client can
// cost is bounded by http/server.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/client.h"
#include "openai/service.h"

namespace batchscope::openai {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;                      // 0: any that is free
  std::vector<std::string> names{};  // by which clients may ask, beside addresses, this machine's name and localhost
  http::BearerToken token{};         // that they must send, if there is one; /health is free
};

class Server {
 public:
  // Listens at once; InputError when it cannot. `service` must outlive it.
  Server(Service& service, const ServerOptions& options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  // Answers until it is told to stop, which it asks for about twenty times a second; then it ends the service, and
  // returns soon after.
  void run(const std::function<bool()>& is_to_stop);
  // Calls it in the thread that runs; from any thread.
  void post(std::function<void(Service&)> work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace batchscope::openai
