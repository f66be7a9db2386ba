// Which models a server has.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "load/endpoint.h"

namespace batchscope::load {

// The names that GET /models of the endpoint's API lists, in its order. InputError when the server cannot be asked or
// says something else.
std::vector<std::string> server_models(const Endpoint& endpoint, Nanoseconds patience = std::chrono::seconds(10));

}  // namespace batchscope::load
