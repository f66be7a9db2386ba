// What one setting alone does to the time: pairs of cells that differ in it and in nothing else.
#pragma once

#include <vector>

#include "report/section.h"
#include "report/study_report.h"

namespace batchscope {

// Every value of fusion, packing, dtype, threads and link against the axis' baseline (off, padded, f32, 1, unpaced),
// and every fusion against on too. Repeats are paired by their number; those that did not run alike in both are left
// out.
std::vector<Effect> study_effects(const std::vector<CellSummary>& cells);

// A table an axis; empty for a study without such pairs.
std::vector<Section> effects_sections(const StudyReport& report);

}  // namespace batchscope
