// How often sources can be read without using more CPU time than they may.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "telemetry/source.h"

namespace batchscope {

struct CpuBudget {
  double cores = 0;           // CPU time a second, of all sources and the thread that writes together; 1: a whole core
  bool keeps_curves = false;  // main curves are read six times a second even where that costs more
};
// A share of the machine that no program misses: 0.5 % of all CPUs this process may use, 5 % of a core at least; keeps
// curves.
CpuBudget default_cpu_budget();
// What the user allows: "10%" of a core, "0.1" or "2" cores. It is kept to: main curves get coarser as well. InputError
// that names `what`.
CpuBudget parse_cpu_budget(std::string_view text, std::string_view what);

struct ReadingCost {
  Pace pace{};
  Nanoseconds cpu{0};  // CPU time of one reading of all groups
};

// What may be used from now on, as a share of a core: less than the budget, because costs vary, and still less where
// more than the budget has been used until now: that is saved again within some time. Half the budget at least.
double budget_left(double budget, Nanoseconds spent, Nanoseconds elapsed);

// A period for each source, in their order: as wanted where the budget allows. Otherwise the dearest sources are read
// more rarely, all those slowed down at one and the same share of a core, the cheap ones as wanted; none more rarely
// than its longest period, nor than a curve's that the budget keeps, which may cost more than the budget. A tenth more
// than all longest periods cost is used in any case: what costs next to nothing need not be read rarely because
// something else is dear.
std::vector<Nanoseconds> periods_within(const CpuBudget& budget, std::span<const ReadingCost> costs);

}  // namespace batchscope
