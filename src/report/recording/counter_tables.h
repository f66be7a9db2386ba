// Every counter of a recording, every gap and what sampling cost, as text: what `--verbose` adds.
#pragma once

#include <string>

#include "telemetry/summary/summary.h"

namespace batchscope {

// At most 80 columns; `colours` only for a terminal.
std::string counter_tables(const RecordingSummary& summary, bool colours);

}  // namespace batchscope
