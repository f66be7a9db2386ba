// The curves that everybody looks at: which of them a recording lacks, and which come too rarely.
#pragma once

#include <string>
#include <vector>

#include "telemetry/summary/summary.h"

namespace batchscope {

// One line each, of all GPUs that lack the same: "gpu:0, gpu:1: no SM activity: not supported by this GPU". `first`:
// what was read before what is observed starts.
std::vector<std::string> lacking_curves(const RecordingSummary& first);

}  // namespace batchscope
