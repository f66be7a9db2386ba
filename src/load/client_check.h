// How much this program's own client adds to the times that it takes, measured on this machine, now.
#pragma once

#include <atomic>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/clock.h"

namespace batchscope::load {

// Against the mock server in another thread, over loopback. What the mock and the kernel add is in it: the client's
// own share is smaller.
struct ClientCheck {
  double added_ttft_p50_us = 0, added_ttft_p99_us = 0;  // TTFT measured - TTFT of the mock's settings
  double added_itl_p99_us = 0;                          // of a gap between tokens
  double lag_p99_us = 0;                                // of going out, behind the schedule
  double requests_per_s = 0;                            // most that it sends and reads, 32 at once, one token each
};
// Takes about `time`. Absent: `stop` was set, or no request came through.
std::optional<ClientCheck> check_client(Nanoseconds time, const std::atomic<bool>& stop);

nlohmann::json to_json(const ClientCheck& check);

}  // namespace batchscope::load
