// What of this machine's GPUs can be read, and why not: `doctor`'s checks of them.
#pragma once

#include <vector>

#include "doctor/checks.h"

namespace batchscope {

// Each capability once, for all GPUs together. Ids are stable.
std::vector<Check> gpu_checks();

}  // namespace batchscope
