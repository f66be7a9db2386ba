// Cost of reading (telemetry/calibration/read_cost.h).
#include "telemetry/calibration/read_cost.h"

#include <fmt/format.h>

#include <cmath>

namespace batchscope::calibration {

ReadCost read_cost(std::span<const CallCost> calls) {
  if (calls.size() < 2) {
    const auto why = Estimate::absent("it could not be read");
    return {why, why, why};
  }
  std::vector<double> wall;
  double cpu = 0, cpu_squares = 0;
  for (const CallCost& call : calls) {
    wall.push_back(to_seconds(call.wall));
    cpu += to_seconds(call.cpu);
    cpu_squares += to_seconds(call.cpu) * to_seconds(call.cpu);
  }
  const auto n = static_cast<double>(calls.size());
  const auto count = static_cast<std::int64_t>(calls.size());
  // Standard error of a quantile: half the distance between the quantiles one standard deviation of its rank away.
  const auto at = [&](double q, const char* what) {
    const double step = std::sqrt(q * (1 - q) / n);
    return Estimate{.value = quantile(wall, q),
                    .uncertainty = (quantile(wall, std::min(1.0, q + step)) - quantile(wall, q - step)) / 2,
                    .n = count,
                    .how = fmt::format("{} of {} calls", what, count)};
  };
  const double variance = std::max(0.0, cpu_squares / n - cpu / n * cpu / n);
  return {.p50 = at(0.5, "median"),
          .p99 = at(0.99, "99th percentile"),
          .cpu = {.value = cpu / n,
                  .uncertainty = std::sqrt(variance / n),
                  .n = count,
                  .how = fmt::format("mean of {} calls", count)}};
}

}  // namespace batchscope::calibration
