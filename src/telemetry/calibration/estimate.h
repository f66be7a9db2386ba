// What calibration works on and what it finds: readings of one counter, and a value with its uncertainty.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace batchscope::calibration {

// One reading of one counter: the host's instants around the call, and the value where there was one.
struct TimedValue {
  Nanoseconds before{0}, after{0};
  std::optional<double> value{};

  Nanoseconds middle() const { return before + (after - before) / 2; }
};
using Series = std::vector<TimedValue>;  // in the order of time

// A property of a counter as it was found; or why it could not be found.
struct Estimate {
  std::optional<double> value{};  // absent: `how` says why
  double uncertainty = 0;         // one standard error, in the value's unit
  std::int64_t n = 0;             // observations that it rests on
  std::string how{};              // how it was found

  static Estimate absent(std::string why) { return {.how = std::move(why)}; }
};

// The q-quantile (0 to 1) of values in any order, interpolated; there must be one at least.
double quantile(std::vector<double> values, double q);
inline double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

}  // namespace batchscope::calibration
