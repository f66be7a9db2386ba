// One rank: a device, its place in the layout, its groups, its ledger and its part of the model. The same class drives
// devices that compute and devices that plan; what it does with a batch is what a plan of it costs.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/admission.h"
#include "engine/engine.h"
#include "engine/forward.h"
#include "engine/generation.h"

namespace batchscope {

class Rank {
 public:
  // Without a fabric the rank plans.
  Rank(const ModelConfig& config, const Layout& layout, int rank, DType dtype, std::unique_ptr<Device> device,
       Fabric* fabric);

  void load(const WeightSource& source) { forward_.load(source); }

  // One batch of this rank's replica, in the parts that pipeline_batches() made; on the replica's last rank the
  // requests' log-likelihoods go to `out` (one a request of the task), elsewhere nothing does.
  void score(std::span<const Batch> parts, const Fusion& fusion, std::span<double> out);

  // The largest steps of a generation, as warm-up; nothing comes of them.
  void warm_up(const Generation& generation, const Fusion& fusion);

  // Told of the steps, on every rank of the replica; `begin`: when the step was decided on, since the begin of the run.
  struct StepSinks {
    std::function<void(const GenerationStep& step, Nanoseconds begin)> on_begin = [](const auto&, auto) {};
    // Once its tokens are known. `is_active`: sequences remain, so that the next step follows at once.
    std::function<void(const GenerationStep& step, std::span<const std::int32_t> tokens, Nanoseconds begin,
                       bool is_active)>
        on_end;
  };
  // Serves all requests of the replica, as they are admitted.
  void generate(Generation generation, Admission& admission, const Fusion& fusion, const StepSinks& sinks);

  Device& device() { return *device_; }
  Ledger& ledger() { return ledger_; }
  CommunicationTime& communication_time() { return communication_time_; }
  const Layout::Place& place() const { return place_; }
  // Holds a replica's results: the last stage's first shard.
  bool holds_results() const { return place_.stage == layout_.stages() - 1 && place_.shard == 0; }

 private:
  std::vector<std::int32_t> run(const GenerationStep& step, const KvCache& cache, const Fusion& fusion);
  std::vector<std::int32_t> share_tokens(std::vector<std::int32_t> tokens, std::size_t count);

  const Layout layout_;
  const Layout::Place place_;
  std::unique_ptr<Device> device_;
  ArenaScope memory_;  // the weights'
  Ledger ledger_;
  CommunicationTime communication_time_;
  Communicator shards_, stages_, replica_;
  Forward forward_;
};

// The requests of batch `index` go to replica index % replicas; this one's, in order.
std::vector<RequestIndices> batches_of_replica(std::span<const ScoreRequest> requests, const RunSettings& settings,
                                               const Layout& layout, std::int64_t replica);

// A batch as the pipeline takes it: whole, or in micro-batches.
std::vector<Batch> pipeline_batches(std::span<const ScoreRequest> requests, const RequestIndices& batch,
                                    const Layout& layout, Packing packing);
// Adds what the parts compute to `tokens`.
void count_tokens(std::span<const Batch> parts, TokenCounts& tokens);

}  // namespace batchscope
