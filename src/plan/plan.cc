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
  if (placement.device.kind == "cpu") return LinkKind::virtual_link;
  return link.kind.value_or(LinkKind::nvlink);
}

// Batches that cost the same: one of them, and how many there are.
struct Repeated {
  std::vector<Batch> example;
  std::int64_t count = 0;
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
    if (repeated.count++ == 0) repeated.example = std::move(parts);
  }
  std::vector<Repeated> distinct;
  for (auto& [shape, repeated] : by_shape) distinct.push_back(std::move(repeated));
  return distinct;
}

// A rank that plans.
struct PlanningRank {
  PlanningRank(const ModelConfig& config, const Placement& placement, int index) {
    auto owned = std::make_unique<PlanDevice>("plan");
    device = owned.get();
    rank = std::make_unique<Rank>(config, placement.layout, index, placement.dtype, std::move(owned), nullptr);
  }
  PlanDevice* device;  // of `rank`
  std::unique_ptr<Rank> rank;
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
                     std::size_t requests, const std::vector<Repeated>& batches, std::vector<LedgerEntry>& entries) {
  PlanningRank planning(config, placement, index);
  Ledger total;
  double flop = 0;
  std::vector<double> log_likelihoods(requests);
  for (const auto& batch : batches) {
    const double before = planning.device->flop();
    planning.rank->ledger().clear();
    planning.rank->score(batch.example, settings.fusion, log_likelihoods);
    total.add(planning.rank->ledger(), batch.count);
    flop += (planning.device->flop() - before) * static_cast<double>(batch.count);
  }
  entries.insert(entries.end(), total.entries().begin(), total.entries().end());
  return finish(planning, total, flop, link_kind(placement, settings.link));
}

}  // namespace

Plan plan_score(const ModelConfig& config, const Placement& placement, const RunSettings& settings,
                std::span<const ScoreRequest> requests) {
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
          plan_rank(config, placement, settings, static_cast<int>(index), requests.size(), distinct, plan.ledger));
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
    PlanningRank planning(config, placement, index);
    Rank& rank = *planning.rank;
    const RequestIndices served = requests_of_replica(at_once.size(), placement.layout, rank.place().replica);
    const Generation generation(at_once, served, settings.batch, {});
    rank.warm_up(generation, settings.fusion);
    rank.ledger().clear();
    const double warm_up_flop = planning.device->flop();
    ManualClock clock;
    Admission admission(at_once, served, clock, clock.now());
    const auto count = [&](const GenerationStep& step, auto, auto, auto) {
      if (!rank.holds_results()) return;
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
