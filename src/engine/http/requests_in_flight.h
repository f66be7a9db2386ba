// Many requests to one server, some of them at a time: each connection takes the next one as soon as its last is
// answered.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/phase.h"
#include "engine/engine_spec.h"
#include "engine/http/server_client.h"
#include "engine/report.h"

namespace batchscope {

struct ServerRequest {
  std::string path;
  nlohmann::json body;
  ServerClient::Of of = ServerClient::Of::api;
};

struct RequestsInFlight {
  std::size_t count = 0;
  std::int64_t in_flight = 1;  // at most
  std::function<ServerRequest(std::size_t request)> make{};
  // Of an answer with status 200; what it throws ends all. Both are called from several threads.
  std::function<void(std::size_t request, const ServerAnswer& answer)> take{};
};

// In the order of the requests. One that fails is sent again as often as the server's access says, after 0.25 s, 0.5 s
// … or what the server asks for; if it then fails all end: OutOfMemory where the server says so, else Failure that
// counts what was answered and names what was not. A phase "request" for each that is answered goes to `phases`, if
// there are any.
ServedRequests send_requests(const EngineSpec& server, const RequestsInFlight& requests, PhaseSink* phases);

}  // namespace batchscope
