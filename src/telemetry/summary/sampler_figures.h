// How well a source was sampled, and what that cost.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"

namespace batchscope {

// What a sampling thread says of itself.
struct SamplerFigures {
  std::string source{};
  Nanoseconds period{0};                // between readings, now
  std::optional<Nanoseconds> wanted{};  // what the period would be without a CPU budget; files do not say
  std::optional<Nanoseconds>
      curve{};               // the longest period at which its curve can still be drawn; absent: no main curve
  std::int64_t ticks = 0;    // deadlines at which everything was read
  std::int64_t missed = 0;   // deadlines that passed while something held the thread up; never made up for
  std::int64_t dropped = 0;  // readings lost because the consumer was behind
  std::optional<Nanoseconds> period_error_p50{}, period_error_p99{}, period_error_max{};  // woken after the deadline
  std::optional<Nanoseconds> call_p50{}, call_p99{}, call_max{};                          // of reading one group
  std::optional<double> cpu_share{};                                                      // of one core
  std::optional<Nanoseconds> stuck{};  // how long a call has not returned, where that is longer than it should
};

}  // namespace batchscope
