// Pages of what a .bscope file holds.
#pragma once

#include "report/page/page.h"
#include "report/recording/recording_report.h"
#include "report/study_report.h"
#include "store/store.h"
#include "telemetry/summary/summary.h"

namespace batchscope {

// Tables, figures, and every cell with its details and time series. `reader` is of the file that `report` came from.
Page study_page(const StudyReport& report, const StoreReader& reader);

// Recordings without a study: counters as a table, a part of them over time, and what samplers say of themselves, each
// session by itself. InputError when the part lies outside of a session.
Page recording_page(std::span<const RecordedSession> sessions, const StoreReader& reader,
                    const RecordingPart& part = {});

}  // namespace batchscope
