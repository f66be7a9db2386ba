// The protocol of a calibration: which loads run, what is read beside them, and which estimator gets the readings.
#pragma once

#include <set>
#include <string>

#include "telemetry/calibration/bench.h"
#include "telemetry/calibration/calibration.h"

namespace batchscope::calibration {

// Who else uses the GPU now: a line each, nothing when nobody does. Before this process has a CUDA context there.
std::vector<std::string> others_on(const nvml::Library& nvml, const nvml::Gpu& gpu);

// Calibrates the counters of those ids (counter_ids()); takes about a minute and a half for all. A counter that cannot
// be read, or a load that cannot run, leaves its properties absent with the reason.
Calibration calibrate(const Bench& bench, const std::set<std::string>& ids);

}  // namespace batchscope::calibration
