// Planning: ranks on planning devices, each distinct shape of batch run once and counted as often as it occurs.
#include "plan/plan.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>

#include "device/plan/plan_device.h"
#include "engine/rank.h"

namespace batchscope {
namespace {

LinkKind link_kind(const Placement& placement, const LinkSpec& link) {
  return device_provider(placement.device.kind).link_kind(link, placement.device);
}

// Batches that cost the same: one of them, and how many there are.
struct Repeated {
  std::vector<Batch> example;
  std::int64_t count = 0;
  bool is_first = false;  // of that shape is the first batch
};

// One replica's batches by shape, and their tokens.
std::vector<Repeated> distinct_batches(const std::vector<RequestIndices>& batches, const Layout& layout,
                                       const RunSettings& settings, std::span<const ScoreRequest> requests,
                                       TokenCounts& tokens) {
  std::map<std::vector<std::int64_t>, Repeated> by_shape;
  for (const auto& batch : batches) {
    auto parts = pipeline_batches(requests, batch, layout, settings.packing);
    count_tokens(parts, tokens);
    std::vector<std::int64_t> shape;
    for (const Batch& part : parts) {
      const auto part_shape = part.shape();
      shape.push_back(std::ssize(part_shape));
      shape.insert(shape.end(), part_shape.begin(), part_shape.end());
    }
    Repeated& repeated = by_shape[shape];
    repeated.is_first = repeated.is_first || &batch == &batches.front();
    if (repeated.count++ == 0) repeated.example = std::move(parts);
  }
  std::vector<Repeated> distinct;
  for (auto& [shape, repeated] : by_shape) distinct.push_back(std::move(repeated));
  return distinct;
}

// A rank that plans.
struct PlanningRank {
  PlanningRank(const ModelConfig& config, const Placement& placement, const LinkSpec& link, int index)
      : devices(device_provider(placement.device.kind).plan(use_of(placement))),
        rank(std::make_unique<Rank>(config, placement.layout, index, placement.precision(), *devices)),
        device(dynamic_cast<PlanDevice*>(&rank->device())) {
    CHECK_THAT(device != nullptr, "a planning provider makes planning devices");
    devices->prepare(link, std::nullopt);
  }
  std::unique_ptr<DeviceSet> devices;
  std::unique_ptr<Rank> rank;
  PlanDevice* device;  // of `rank`
};

DevicePlan finish(PlanningRank& planning, const Ledger& ledger, double flop, LinkKind link) {
  DevicePlan plan{.bytes = planning.device->bytes_at_peak(), .link = link, .flop = flop};
  plan.total_bytes = std::accumulate(plan.bytes.begin(), plan.bytes.end(), std::int64_t{0});
  for (const auto& entry : ledger.entries()) {
    plan.tx_bytes += entry.predicted_tx_bytes;
    plan.rx_bytes += entry.predicted_rx_bytes;
  }
  return plan;
}

// `requests`: how many the task has.
DevicePlan plan_rank(const ModelConfig& config, const Placement& placement, const RunSettings& settings, int index,
                     std::size_t requests, const std::vector<Repeated>& batches, const BatchSink& on_batch, Plan& plan) {
  PlanningRank planning(config, placement, settings.link, index);
  Ledger total;
  double flop = 0;
  std::vector<double> log_likelihoods(requests);
  Trace& first = plan.traces.emplace_back();
  Trace trace;
  for (const auto& batch : batches) {
    const double before = planning.device->flop();
    planning.rank->ledger().clear();
    planning.device->observe(batch.is_first || on_batch ? &trace : nullptr);
    planning.rank->score(std::span(&batch.example, 1), settings.fusion, log_likelihoods, {});
    total.add(planning.rank->ledger(), batch.count);
    flop += (planning.device->flop() - before) * static_cast<double>(batch.count);
    if (on_batch) on_batch(index, trace, batch.count);
    if (batch.is_first) first = std::move(trace);
    trace.clear();
  }
  plan.ledger.insert(plan.ledger.end(), total.entries().begin(), total.entries().end());
  return finish(planning, total, flop, link_kind(placement, settings.link));
}

}  // namespace

Plan plan_score(const ModelConfig& config, const Placement& placement, const RunSettings& settings,
                std::span<const ScoreRequest> requests, const BatchSink& on_batch) {
  placement.layout.check(config);
  Plan plan;
  for (const auto& request : requests) plan.tokens.requested += std::ssize(request.tokens) - 1;
  for (std::int64_t replica = 0; replica < placement.layout.replicas(); ++replica) {
    const auto batches = batches_of_replica(requests, settings, placement.layout, replica);
    plan.batches += std::ssize(batches);
    const auto distinct = distinct_batches(batches, placement.layout, settings, requests, plan.tokens);
    const std::int64_t ranks = placement.layout.stages() * placement.layout.shards();
    for (std::int64_t index = replica * ranks; index < (replica + 1) * ranks; ++index)
      plan.devices.push_back(
          plan_rank(config, placement, settings, static_cast<int>(index), requests.size(), distinct, on_batch, plan));
  }
  return plan;
}

Plan plan_generate(const ModelConfig& config, const Placement& placement, const RunSettings& settings,
                   std::span<const GenerateRequest> requests) {
  placement.layout.check(config);
  std::vector<GenerateRequest> at_once(requests.begin(), requests.end());
  for (GenerateRequest& request : at_once) {
    request.arrival = Nanoseconds(0);
    request.stop_at_eos = false;
  }
  Plan plan;
  for (const auto& request : at_once) plan.tokens.requested += std::ssize(request.prompt) + request.new_tokens - 1;
  for (int index = 0; index < placement.layout.ranks(); ++index) {
    PlanningRank planning(config, placement, settings.link, index);
    Rank& rank = *planning.rank;
    const RequestIndices served = requests_of_replica(at_once.size(), placement.layout, rank.place().replica);
    const Generation generation(extent_of(at_once, served, settings.batch), {});
    planning.device->observe(&plan.traces.emplace_back());
    rank.warm_up(generation, settings.fusion);
    planning.device->observe(nullptr);
    rank.ledger().clear();
    const double warm_up_flop = planning.device->flop();
    ManualClock clock;
    ListedRequests source(at_once, served, clock, clock.now());
    Admission admission(source, 0, clock, clock.now());
    const auto count = [&](const GenerationStep& step, const auto&, auto, auto) {
      if (!rank.leads()) return;
      ++plan.batches;
      plan.tokens.computed += step.batch.rows();
    };
    rank.generate(generation, admission, settings.fusion, {.on_end = count});
    plan.ledger.insert(plan.ledger.end(), rank.ledger().entries().begin(), rank.ledger().entries().end());
    plan.devices.push_back(
        finish(planning, rank.ledger(), planning.device->flop() - warm_up_flop, link_kind(placement, settings.link)));
  }
  return plan;
}

namespace {

// A replica's stages, by their first shard, and their KV caches.
class PlanningReplica {
 public:
  PlanningReplica(const ModelConfig& config, const Placement& placement, const LinkSpec& link, std::int64_t replica,
                  std::int64_t cache_rows) {
    for (std::int64_t stage = 0; stage < placement.layout.stages(); ++stage) {
      const auto index = static_cast<int>(placement.layout.rank({replica, stage, 0}));
      stages_.push_back(std::make_unique<PlanningRank>(config, placement, link, index));
      caches_.push_back(stages_.back()->rank->allocate_cache(cache_rows));
    }
    traces_.resize(stages_.size());
  }
  // What each stage enqueues.
  std::span<const Trace> run(const GenerationStep& step, const Fusion& fusion) {
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
      traces_[stage].clear();
      stages_[stage]->device->observe(&traces_[stage]);
      stages_[stage]->rank->run(step, caches_[stage], fusion);
    }
    return traces_;
  }

 private:
  std::vector<std::unique_ptr<PlanningRank>> stages_;
  std::vector<KvCache> caches_;
  std::vector<Trace> traces_;
};

}  // namespace

Nanoseconds generation_end(const ModelConfig& config, const Placement& placement, const RunSettings& settings,
                           std::span<const GenerateRequest> requests, const StepTimer& time_of) {
  placement.layout.check(config);
  std::vector<GenerateRequest> to_the_end(requests.begin(), requests.end());
  for (GenerateRequest& request : to_the_end) request.stop_at_eos = false;
  Nanoseconds end{0};
  for (std::int64_t replica = 0; replica < placement.layout.replicas(); ++replica) {
    const RequestIndices served = requests_of_replica(to_the_end.size(), placement.layout, replica);
    Generation generation(extent_of(to_the_end, served, settings.batch), {});
    PlanningReplica planning(config, placement, settings.link, replica, generation.cache_rows());
    ManualClock clock;
    ListedRequests source(to_the_end, served, clock, clock.now());
    Admission admission(source, 0, clock, clock.now());
    while (true) {
      const auto decision = admission.next(generation.free_slots(), generation.is_active());
      if (decision.admitted.empty() && !generation.is_active()) break;
      const GenerationStep step = decision.admitted.empty() ? generation.decode() : generation.prefill(decision.admitted);
      clock.advance(time_of(planning.run(step, settings.fusion)));
      generation.append(step, std::vector<std::int32_t>(step.requests.size()));
    }
    end = std::max(end, clock.now());
  }
  return end;
}

std::int64_t largest_batch(std::int64_t most, std::int64_t device_memory_bytes,
                           const std::function<Plan(std::int64_t batch)>& plan_of) {
  const auto need = [&](std::int64_t batch) {
    std::int64_t bytes = 0;
    for (const DevicePlan& device : plan_of(batch).devices) bytes = std::max(bytes, device.total_bytes);
    return bytes;
  };
  std::int64_t fitting = 0, failing = most + 1;
  std::int64_t fitting_bytes = 0;
  double bytes_per_sequence = 0;
  // Memory is nearly affine in the batch, so the next try is where a line through the last two meets the limit; where
  // that does not close in soon, halve.
  for (int tries = 0; failing - fitting > 1; ++tries) {
    std::int64_t batch = fitting + 1;
    if (tries >= 8)
      batch = fitting + (failing - fitting) / 2;
    else if (bytes_per_sequence > 0)
      batch = fitting + static_cast<std::int64_t>(std::min(
                            static_cast<double>(device_memory_bytes - fitting_bytes) / bytes_per_sequence, 1e15));
    batch = std::clamp(batch, fitting + 1, failing - 1);
    const std::int64_t bytes = need(batch);
    if (bytes > device_memory_bytes) {
      failing = batch;
      continue;
    }
    if (fitting > 0)
      bytes_per_sequence = static_cast<double>(bytes - fitting_bytes) / static_cast<double>(batch - fitting);
    fitting = batch;
    fitting_bytes = bytes;
  }
  return fitting;
}

std::int64_t largest_batch(const ModelConfig& config, const Placement& placement, RunSettings settings,
                           std::span<const ScoreRequest> requests, std::int64_t device_memory_bytes) {
  return largest_batch(std::ssize(requests), device_memory_bytes, [&](std::int64_t batch) {
    settings.batch = batch;
    return plan_score(config, placement, settings, requests);
  });
}

}  // namespace batchscope
