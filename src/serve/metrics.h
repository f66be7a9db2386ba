// A machine's counters, and what sampling them costs, as metrics (docs/exporter.md).
#pragma once

#include <vector>

#include "serve/exposition.h"
#include "telemetry/summary/summary.h"

namespace batchscope::serve {

// One family a counter's name, prefixed "batchscope_". A counter without a value now is not among them: then
// batchscope_absent_info says why.
std::vector<MetricFamily> metrics_of(const RecordingSummary& summary);

}  // namespace batchscope::serve
