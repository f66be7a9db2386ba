// The HTTP server of `batchscope serve`: what is sampled, as one page that all clients share.
//   /metrics   OpenMetrics, or Prometheus' older format by Accept
//   /healthz   200, or 503 and why while a source does not answer
//   /          links to both
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/exposition.h"
#include "telemetry/live.h"

namespace batchscope::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;                      // 0: any that is free
  std::vector<std::string> names{};  // by which clients may ask, beside addresses, this machine's name and localhost
  Nanoseconds page_period{0};        // a page is made at most this often
  std::function<std::vector<MetricFamily>()> facts{};  // what hardly changes: versions, devices; asked for each page
};

class Server {
 public:
  // Listens at once; InputError when it cannot. `live` must outlive it.
  Server(Live& live, ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  // Answers until `stop`, and takes readings meanwhile, whether anybody asks or not.
  void run(const std::atomic<bool>& stop);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace batchscope::serve
