// What one rank tells rank 0 of a run, as bytes that may come from another machine.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/phase.h"
#include "comm/world.h"
#include "engine/engine.h"

namespace batchscope {

struct RankResult {
  DeviceReport device;
  std::vector<LedgerEntry> ledger;
  std::vector<Phase> phases;              // only from ranks in other processes
  World::ClockOffset clock;               // of the process's clock to rank 0's
  std::vector<double> log_likelihoods;    // of what the replica scored, in the order of its batches; where results are
  std::vector<Nanoseconds> started;       // each batch: taken up by the first stage …
  std::vector<Nanoseconds> ended;         // … and done with by the last
  std::vector<GeneratedSequence> sequences;  // of the requests that the replica serves, in order; of its first rank
  std::vector<Nanoseconds> step_times;
  std::int64_t computed = 0;  // tokens
};

std::string to_bytes(const RankResult& result);
RankResult rank_result_from_bytes(std::string_view bytes);

}  // namespace batchscope
