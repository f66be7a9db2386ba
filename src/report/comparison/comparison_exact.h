// The parts of a comparison that need no test: which cells are the same in two files, and numbers that have no noise.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/comparison/comparison.h"

namespace batchscope {

// Settings that have one value in all cells of A and another in all of B.
std::vector<Difference> setting_differences(const StudyReport& a, const StudyReport& b);
// Equal for cells that are the same but for the settings ignored, and the batch where it is left out.
std::string match_key(const CellSpec& spec, const std::vector<Difference>& ignored, bool with_batch = true);
std::vector<Difference> environment_differences(const StudyReport& a, const StudyReport& b);

Compared compare_status(const CellSummary& a, const CellSummary& b);
// More is worse, beyond the threshold.
Compared compare_exact(std::optional<double> a, std::optional<double> b, double threshold);
// Peak of the device that grew most; of the fullest ones where there are other devices.
Compared compare_memory(const CellSummary& a, const CellSummary& b, double threshold);
// Both numbers and their ratio, for the reader alone.
Compared show(std::optional<double> a, std::optional<double> b);

// Why the times of two cells that generate cannot be compared; "" where they can, and for questions.
std::string other_requests(const CellSummary& a, const CellSummary& b);

std::optional<double> bytes_sent(const CellSummary& cell);                 // by all devices
std::optional<double> tokens(const CellSummary& cell, const char* which);  // "computed", "padding"
// The geometric mean over the runs that have it.
std::optional<double> typical(const CellSummary& cell, std::optional<double> CellRun::*number);

}  // namespace batchscope
