// Figures of a recording over time: of each device, what belongs on one axis together.
#pragma once

#include <vector>

#include "report/figure/figure.h"
#include "report/recording/recording_report.h"
#include "store/store.h"

namespace batchscope {

// Levels that never changed and rates that were always zero are left out. Long parts are thinned to what a figure can
// show: means, with the least and the greatest as interval. Each session has figures of its own. InputError when the
// part lies outside of one.
std::vector<Figure> recording_figures(const StoreReader& reader, std::span<const RecordedSession> sessions,
                                      const RecordingPart& part);

}  // namespace batchscope
