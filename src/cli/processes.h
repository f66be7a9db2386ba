// Verbs that run a model in one process a rank, where a launcher (mpirun, srun) started this program so.
#pragma once

#include <functional>

#include "comm/world.h"

namespace batchscope::cli {

// Whether this process is the one that prints and writes: rank 0, or the only one.
bool speaks();

// Does `work` in every process alike, with the world of all of them; null where this is the only process, whose ranks are
// threads. Where any of them fails, or dies, all end, and one says why.
void in_every_process(const std::function<void(World* world)>& work);

}  // namespace batchscope::cli
