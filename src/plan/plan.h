// What a run will cost, before anything is loaded: the engine's own forward pass on planning devices.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "comm/ledger.h"
#include "device/link.h"
#include "device/trace.h"
#include "engine/engine.h"
#include "tensor/memory.h"

namespace batchscope {

struct DevicePlan {
  BytesByUse bytes{};                       // live at the moment of the peak, by use; their sum is total_bytes
  std::int64_t total_bytes = 0;             // the arena's high-water mark will be exactly this
  std::int64_t tx_bytes = 0, rx_bytes = 0;  // over links, by the formulas of the collectives
  LinkKind link = LinkKind::virtual_link;
  double flop = 0;
};

struct Plan {
  std::vector<DevicePlan> devices;  // one a rank
  std::vector<LedgerEntry> ledger;
  // What each rank enqueues for its first batch, which is the largest; of a generation for its largest prefill and its
  // largest decode step.
  std::vector<Trace> traces;
  std::int64_t batches = 0;  // of a generation: steps
  TokenCounts tokens;        // computed and padding
};

// Told of each batch that a rank enqueues, once for all that cost alike, and how many of these there are.
using BatchSink = std::function<void(int rank, const Trace& batch, std::int64_t count)>;

// Plans scoring these requests in batches as the engine forms them. Ignores settings.device_memory_bytes.
Plan plan_score(const ModelConfig& config, const Placement& placement, const RunSettings& settings,
                std::span<const ScoreRequest> requests, const BatchSink& on_batch = {});

// Plans a generation in which all requests arrive at once and none ends early. Memory is exact for every arrival and
// every end, as the largest steps are in the warm-up; traffic and FLOPs are exact where things are as planned.
Plan plan_generate(const ModelConfig& config, const Placement& placement, const RunSettings& settings,
                   std::span<const GenerateRequest> requests);

// How long a pass through the model takes, by what the first shard of each stage enqueues for it.
using StepTimer = std::function<Nanoseconds(std::span<const Trace> stages)>;

// When a generation would end, since its start: requests are admitted as they arrive and as steps end. None ends early.
Nanoseconds generation_end(const ModelConfig& config, const Placement& placement, const RunSettings& settings,
                           std::span<const GenerateRequest> requests, const StepTimer& time_of);

// The largest batch, up to `most`, whose plan fits `device_memory_bytes` on every device; 0 if none does. Memory must
// not shrink with the batch.
std::int64_t largest_batch(std::int64_t most, std::int64_t device_memory_bytes,
                           const std::function<Plan(std::int64_t batch)>& plan_of);

// The largest batch, up to the number of requests, with which everything fits `device_memory_bytes`; 0 if none does.
std::int64_t largest_batch(const ModelConfig& config, const Placement& placement, RunSettings settings,
                           std::span<const ScoreRequest> requests, std::int64_t device_memory_bytes);

}  // namespace batchscope
