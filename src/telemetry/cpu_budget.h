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

// What may be used from now on, as a share of a core: less than the budget, because costs vary, and still less where
// more than the budget has been used until now, as at the begin, when everything is read for the first time: that is
// saved again within some time. Half the budget at least.
double budget_left(double budget, Nanoseconds spent, Nanoseconds elapsed);

// A period for each source, in their order: as wanted where the budget (a share of one core) allows. Otherwise the
// dearest sources are read more rarely, all those slowed down at one and the same share of a core, the cheap ones as
// wanted; none more rarely than its longest period, which may cost more than the budget. A tenth more than all longest
// periods cost is used in any case: what costs next to nothing need not be read rarely because something else is dear.
std::vector<Nanoseconds> periods_within(double budget, std::span<const ReadingCost> costs);

}  // namespace batchscope
