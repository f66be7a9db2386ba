// Pages of what a .bscope file holds.
#pragma once

#include "report/page/page.h"
#include "report/recording_report.h"
#include "report/study_report.h"
#include "store/store.h"
#include "telemetry/summary.h"

namespace batchscope {

// Tables, figures, and every cell with its details and time series. `reader` is of the file that `report` came from.
Page study_page(const StudyReport& report, const StoreReader& reader);

// A recording without a study: its counters as a table, a part of it over time, and what its sampler says of itself.
// InputError when the part lies outside the recording.
Page recording_page(const RecordingSummary& summary, const StoreReader& reader, const RecordingPart& part = {});

}  // namespace batchscope
