// Gaps of a gamma distribution, on a clock that runs as fast as the rate (task/arrivals.h).
#include "task/arrivals.h"

#include <boost/random/gamma_distribution.hpp>
#include <cmath>
#include <random>

#include "base/error.h"

namespace batchscope {
namespace {

// In (0, 1], the same on every machine, which the standard's distributions do not promise.
double uniform(std::mt19937_64& random) { return static_cast<double>((random() >> 11) + 1) * 0x1p-53; }

// With a mean of 1.
double draw_gap(double burstiness, std::mt19937_64& random) {
  if (burstiness == constant_rate) return 1;
  if (burstiness == 1) return -std::log(uniform(random));
  boost::random::gamma_distribution<> gamma(burstiness, 1 / burstiness);
  return gamma(random);
}

// The instant by which `expected` requests have come, of a rate that goes from `first` to `last` in a straight line
// while `all` come: the root of first t + (last - first) t^2 / (2 T) = expected, with T = 2 all / (first + last).
double instant_of(double expected, double all, double first, double last) {
  const double slope = (last - first) * (first + last) / (2 * all);  // per second
  const double inside = first * first + 2 * slope * expected;
  // What chance moves behind the ramp's end goes on at its last rate.
  if (expected > all) return 2 * all / (first + last) + (expected - all) / last;
  return 2 * expected / (first + std::sqrt(std::max(inside, 0.0)));
}

}  // namespace

std::vector<Nanoseconds> draw_arrivals(const ArrivalProcess& process, std::int64_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Nanoseconds> arrivals;
  double expected = 0;  // requests
  const double last = process.last_rate.value_or(process.rate);
  for (std::int64_t i = 0; i < count; ++i) {
    if (i > 0 && i % process.together == 0)
      expected += draw_gap(process.burstiness, random) * static_cast<double>(process.together);
    const double seconds = process.last_rate ? instant_of(expected, static_cast<double>(count), process.rate, last)
                                             : expected / process.rate;
    if (seconds > 1e9)
      throw InputError("--arrival-rate: at {} per second, request {} comes after 30 years; raise it", process.rate, i);
    arrivals.push_back(from_seconds(seconds));
  }
  return arrivals;
}

}  // namespace batchscope
