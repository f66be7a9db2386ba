// Quantiles (telemetry/calibration/estimate.h).
#include "telemetry/calibration/estimate.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace batchscope::calibration {

double quantile(std::vector<double> values, double q) {
  CHECK_THAT(!values.empty(), "a quantile is of values, there are none");
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(at), high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
}

}  // namespace batchscope::calibration
