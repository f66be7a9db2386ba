// At which value a cumulative counter begins again at 0.
#pragma once

#include "telemetry/calibration/estimate.h"

namespace batchscope::calibration {

// From readings during traffic at a steady rate of known total (in the counter's unit, without protocol; 0: unknown).
// Where the value falls, what it would have been at the rate of the readings around tells how much was lost; the
// modulus is the power of two that this is. Absent where it never fell, with what it is greater than; where falls are
// no power of two; where unwrapped increments do not agree with the traffic.
Estimate modulus(const Series& series, double known_total = 0);

// The series without its wraps; nothing where it falls and no modulus says why.
std::optional<Series> unwrapped(const Series& series, std::optional<double> modulus);

}  // namespace batchscope::calibration
