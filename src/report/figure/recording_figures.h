// Figures of a recording over time: of each device, what belongs on one axis together.
#pragma once

#include <optional>
#include <vector>

#include "base/clock.h"
#include "report/figure/figure.h"
#include "store/store.h"

namespace batchscope {

// Part of a recording, since the begin of its first session; absent: to its end.
struct RecordingPart {
  Nanoseconds from{0};
  std::optional<Nanoseconds> to{};
};

// Levels that never changed and rates that were always zero are left out. Long parts are thinned to what a figure can show: means, with the least and the
// greatest as interval. InputError when the part lies outside the recording.
std::vector<Figure> recording_figures(const StoreReader& reader, const RecordingPart& part);

}  // namespace batchscope
