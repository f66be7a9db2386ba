// Error bars of a recording's figures, from what a calibration found of its counters.
#pragma once

#include <span>
#include <string>

#include "telemetry/calibration/calibration.h"
#include "telemetry/summary/summary.h"

namespace batchscope::calibration {

// Sets `error` of the counters of that device: 95 % of a total or mean lie within ± so much, as far as the calibration
// knows. A total is uncertain by its gain, and at both ends by what happened since the value was last renewed (evenly
// distributed over the refresh period, at the mean rate); a mean by its gain. Bytes are what the counter counts, packet
// headers included. What was not calibrated keeps none.
void add_errors(std::span<CounterSummary> counters, const Calibration& calibration, const std::string& device);

}  // namespace batchscope::calibration
