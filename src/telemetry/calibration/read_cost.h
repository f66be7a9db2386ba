// What it costs to read a counter.
#pragma once

#include <span>

#include "telemetry/calibration/estimate.h"

namespace batchscope::calibration {

struct CallCost {
  Nanoseconds wall{0}, cpu{0};  // cpu: of the calling thread
};
struct ReadCost {
  Estimate p50, p99;  // seconds of wall time
  Estimate cpu;       // mean seconds of the thread's CPU time
};
ReadCost read_cost(std::span<const CallCost> calls);

}  // namespace batchscope::calibration
