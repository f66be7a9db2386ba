// What a recording holds, counter by counter, read back from its .bscope file.
#pragma once

#include "store/store.h"
#include "telemetry/summary.h"

namespace batchscope {

RecordingSummary read_recording_summary(const StoreReader& reader);

}  // namespace batchscope
