// How often sources can be read without using more CPU time than they may.
#pragma once

#include <span>
#include <vector>

#include "telemetry/source.h"

namespace batchscope {

constexpr double default_cpu_budget = 0.03;  // of one core, for all sources together

struct ReadingCost {
  Pace pace{};
  Nanoseconds cpu{0};  // CPU time of one reading of all groups
};

// A period for each source, in their order: as wanted where the budget (a share of one core) allows. Otherwise the
// dearest sources are read more rarely, all those slowed down at one and the same share of a core, the cheap ones as
// wanted; none more rarely than its longest period, which may cost more than the budget.
std::vector<Nanoseconds> periods_within(double budget, std::span<const ReadingCost> costs);

}  // namespace batchscope
