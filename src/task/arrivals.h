// When requests arrive: a renewal process whose rate may change on the way.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "base/clock.h"

namespace batchscope {

struct ArrivalProcess {
  double rate = 1;  // requests per second, > 0, at the start
  // Shape of the gamma distribution that gaps have; their coefficient of variation is 1 / sqrt(burstiness). 1: a
  // Poisson process, smaller: burstier, infinite: a constant rate. vLLM's burstiness, AIPerf's smoothness.
  double burstiness = 1;
  std::optional<double> last_rate{};  // reached in a straight line at the last request; absent: `rate` throughout
  std::int64_t together = 1;          // that many arrive at one instant; the rate counts requests
};
inline constexpr double constant_rate = std::numeric_limits<double>::infinity();

// Of `count` requests, from 0 on; the same for the same seed on every machine. InputError, beginning with the flag of
// the rate, when one would come after 30 years.
std::vector<Nanoseconds> draw_arrivals(const ArrivalProcess& process, std::int64_t count, std::uint64_t seed);

}  // namespace batchscope
