// A recording's summary as JSON for programs.
#pragma once

#include <nlohmann/json.hpp>

#include "telemetry/summary/summary.h"

namespace batchscope {

// Unknown values are null, times in seconds.
nlohmann::json to_json(const RecordingSummary& summary);

}  // namespace batchscope
