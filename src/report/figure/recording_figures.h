// Figures of a recording over time: of each device, what belongs on one axis together.
#pragma once

#include <vector>

#include "report/figure/figure.h"
#include "report/recording_report.h"
#include "store/store.h"

namespace batchscope {

// Levels that never changed and rates that were always zero are left out. Long parts are thinned to what a figure can
// show: means, with the least and the greatest as interval. InputError when the part lies outside the recording.
std::vector<Figure> recording_figures(const StoreReader& reader, const RecordingPart& part);

}  // namespace batchscope
