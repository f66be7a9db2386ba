// Requests to generate, sent to a server when they arrive, by the same client as `batchscope load` (load/runner.h).
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/phase.h"
#include "engine/engine_spec.h"
#include "engine/report.h"
#include "engine/requests.h"
#include "load/runner.h"
#include "model/tokenizer.h"

namespace batchscope {

struct ServedGeneration {
  std::string model{};                               // by its name on the server
  std::int64_t in_flight = 1;                        // at most; what arrives meanwhile waits
  nlohmann::json fields = nlohmann::json::object();  // more of each request
  const Tokenizer* tokenizer = nullptr;              // the model's: prompts go as text to servers that take no ids
};

// What came back, in the order of the requests: tokens where the server gives their ids, else how many there are. A
// request is admitted when it is sent. Failure where one is not answered, or an answer says not how many tokens it has,
// or does not come token by token.
GenerateReport generate_on_server(const EngineSpec& server, const ServedGeneration& how,
                                  std::span<const GenerateRequest> requests, PhaseSink* phases);

// Of the first `count` requests, two tokens each; their prompts backwards, so that the server's prefix cache does not know the
// ones that are timed.
std::vector<load::Request> warming_requests(std::span<const load::Request> requests, std::int64_t count);

}  // namespace batchscope
