// A recording's summary for people, on a terminal.
#pragma once

#include <string>

#include "telemetry/summary/summary.h"

namespace batchscope {

enum class SummaryDetail {
  brief,    // one screen: a line a GPU, host and command, phases, what is doubtful, and the answer last
  verbose,  // before that every counter, every gap and what sampling cost
};

// At most 80 columns; `colours` only for a terminal.
std::string to_text(const RecordingSummary& summary, bool colours, SummaryDetail detail);

}  // namespace batchscope
