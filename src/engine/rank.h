// One rank: a device, its place in the layout, its groups, its ledger and its part of the model. The same class drives
// devices that compute and devices that plan; what it does with a batch is what a plan of it costs.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "engine/admission.h"
#include "engine/engine.h"
#include "engine/forward.h"
#include "engine/generation.h"
#include "provider/device_provider.h"

namespace batchscope {

class Rank {
 public:
  // Takes its device and communicators from `devices`.
  Rank(const ModelConfig& config, const Layout& layout, int rank, const Precision& precision, DeviceSet& devices);

  void load(const WeightSource& source) { forward_.load(source); }

  // To be called for what will run, before it, on all ranks alike and while none of them runs: see Device::prepare().
  // Later it is found out which of the steps are new in kind.
  void prepare(std::span<const std::vector<Batch>> batches, const Fusion& fusion);
  void prepare(const Generation& generation, const Fusion& fusion);

  // Told of batches, by their index; times are on the host's monotonic clock.
  struct BatchSinks {
    std::function<void(std::size_t index)> on_begin = [](auto) {};  // the host begins to enqueue it
    // Its results are there; `begin` and `end`: when the device took it up and had done with it.
    std::function<void(std::size_t index, Nanoseconds begin, Nanoseconds end)> on_end = [](auto, auto, auto) {};
  };
  // Batches of this rank's replica, each in the parts that pipeline_batches() made; on the replica's last rank the requests'
  // log-likelihoods go to `out` (one a request of the task), elsewhere nothing does. The results of a batch are read while
  // the device works on the next.
  void score(std::span<const std::vector<Batch>> batches, const Fusion& fusion, std::span<double> out,
             const BatchSinks& sinks);

  // The batch again and again, alone and observed.
  ObservedStep observe(const std::vector<Batch>& batch, const Fusion& fusion, std::size_t requests);
  // Likewise each of the largest steps of a generation.
  std::vector<ObservedStep> observe(const Generation& generation, const Fusion& fusion);

  // The largest steps of a generation, as warm-up; nothing comes of them.
  void warm_up(const Generation& generation, const Fusion& fusion);

  // Told of the steps, on every rank of the replica; `begin`: when the step was decided on, since the begin of the run.
  struct StepSinks {
    std::function<void(const GenerationStep& step, Nanoseconds begin)> on_begin = [](const auto&, auto) {};
    // Once its tokens are known. `is_active`: sequences remain, so that the next step follows at once.
    std::function<void(const GenerationStep& step, const StepOutput& output, Nanoseconds begin, bool is_active)> on_end =
        [](const auto&, const auto&, auto, auto) {};
    // Nothing is active any more, for other reasons than a step.
    std::function<void()> on_idle = [] {};
  };
  // One pass of a generation; what came of it, on every rank of the replica. `cache`: of allocate_cache().
  StepOutput run(const GenerationStep& step, const KvCache& cache, const Fusion& fusion);
  // In the arena's current scope.
  KvCache allocate_cache(std::int64_t rows) { return forward_.allocate_cache(rows); }
  // Serves all requests of the replica, as they are admitted, until their source has ended.
  void generate(Generation generation, Admission& admission, const Fusion& fusion, const StepSinks& sinks);

  Device& device() { return *device_; }
  Ledger& ledger() { return ledger_; }
  // Forgets what the ledger and working() have so far.
  void begin_measuring();
  Nanoseconds working() const { return working_; }  // time of steps on the device, as it tells
  const Layout::Place& place() const { return place_; }
  // The first of its replica: decides who is admitted, and knows a generation's tokens as all of the replica do.
  bool leads() const { return place_.stage == 0 && place_.shard == 0; }
  // Holds the replica's log-likelihoods: the last stage's first shard.
  bool holds_results() const { return place_.stage == layout_.stages() - 1 && place_.shard == 0; }
  // The ranks of its replica.
  std::vector<int> replica_members() const;

 private:
  enum class StepKind { score, most_probable, draw };
  static StepKind kind_of(const GenerationStep& step);
  struct ResultWords;

  // `run`: does the step, and says what it took on the device.
  ObservedStep observe(const std::function<Nanoseconds()>& run, std::span<const Batch> parts);
  // What the host holds of a step that is on its way through the device.
  struct InFlight {
    std::size_t batch = 0;        // index
    const Batch* part = nullptr;  // whose results are to be read; null: none are
    bool is_last_part = false;
    HostBuffer inputs, results;
    Event begin, end;
  };

  // Whether a step is the first of its kind that is to be prepared; it is not afterwards.
  bool is_new(StepKind kind, const Batch& batch, std::span<const BatchTurn> turns, std::int64_t sequences,
              const Fusion& fusion);
  bool is_new(const GenerationStep& step, const Fusion& fusion);

  std::vector<BatchTurn> turns_of_score(const Batch& part, const Fusion& fusion) const;
  InFlight enqueue_score(const Batch& part, const Fusion& fusion);
  InFlight enqueue_step(const GenerationStep& step, const KvCache& cache, const Fusion& fusion);
  InFlight take_buffers();
  // Copies the inputs to the device, has `forward` enqueue the rest, and copies what came to step.results; while the
  // device is prepared only `forward` is called.
  void enqueue(InFlight& step, const StepInputs& inputs, const Tensor& out, const ReplayKey& shape, const Fusion& fusion,
               const std::function<void(const StepTensors& inputs)>& forward);
  void finish(const InFlight& step);
  void finish_oldest(std::span<double> out, const BatchSinks& sinks);
  void drop_in_flight();

  const ModelConfig config_;
  const Layout layout_;
  const Layout::Place place_;
  std::unique_ptr<Device> device_;
  ArenaScope memory_;  // the weights'
  Ledger ledger_;
  Nanoseconds working_{0};
  Ledger step_ledger_;                       // what the communicators write
  std::map<ReplayKey, Ledger> replayed_;     // what a replay of a step stands for
  std::unique_ptr<Communicator> shards_, stages_, replica_;
  Forward forward_;
  std::set<std::vector<std::int64_t>> prepared_;  // kinds of steps
  std::deque<InFlight> in_flight_;  // the oldest first
  std::vector<InFlight> idle_;      // buffers
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
