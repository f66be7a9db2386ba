// What one rank does with a batch, and with a generation.
#include "engine/rank.h"

#include <algorithm>
#include <numeric>

namespace batchscope {
namespace {

enum class Group { shards, stages, replica };

// The fabric ranks of a group that `place` belongs to, in ring order.
std::vector<int> members_of(const Layout& layout, const Layout::Place& place, Group group) {
  std::vector<int> members;
  for (std::int64_t stage = 0; stage < layout.stages(); ++stage) {
    for (std::int64_t shard = 0; shard < layout.shards(); ++shard) {
      if (group == Group::shards && stage != place.stage) continue;
      if (group == Group::stages && shard != place.shard) continue;
      members.push_back(static_cast<int>(layout.rank({place.replica, stage, shard})));
    }
  }
  return members;
}

Communicator communicator(const Layout& layout, const Layout::Place& place, Group group, Device& device, Fabric* fabric,
                          Ledger& ledger, CommunicationTime& time) {
  const auto members = members_of(layout, place, group);
  const auto self = std::find(members.begin(), members.end(), static_cast<int>(layout.rank(place)));
  return {members, static_cast<int>(self - members.begin()), device, fabric, ledger, time};
}

}  // namespace

Rank::Rank(const ModelConfig& config, const Layout& layout, int rank, DType dtype, std::unique_ptr<Device> device,
           Fabric* fabric)
    : layout_(layout),
      place_(layout.place(rank)),
      device_(std::move(device)),
      memory_(device_->arena()),
      shards_(communicator(layout, place_, Group::shards, *device_, fabric, ledger_, communication_time_)),
      stages_(communicator(layout, place_, Group::stages, *device_, fabric, ledger_, communication_time_)),
      replica_(communicator(layout, place_, Group::replica, *device_, fabric, ledger_, communication_time_)),
      forward_(config, layout, rank, dtype, *device_, shards_, stages_) {}

void Rank::score(std::span<const Batch> parts, const Fusion& fusion, std::span<double> out) {
  for (const Batch& part : parts) {
    const auto log_probabilities = forward_.score(part, fusion);
    if (!holds_results()) continue;
    for (const auto& scored : part.scored) {
      const auto first = log_probabilities.begin() + scored.begin;
      out[scored.request] = std::accumulate(first, first + scored.count, 0.0);
    }
  }
  // In sequence means that the next batch starts once this one has left the last stage.
  if (layout_.stages() > 1 && !layout_.micro_batches()) replica_.barrier();
}

void Rank::warm_up(const Generation& generation, const Fusion& fusion) {
  const ArenaScope scope(device_->arena());
  const KvCache cache = forward_.allocate_cache(generation.cache_rows());
  for (const GenerationStep& step : generation.largest_steps()) run(step, cache, fusion);
}

void Rank::generate(Generation generation, Admission& admission, const Fusion& fusion, const StepSinks& sinks) {
  const ArenaScope scope(device_->arena());
  const KvCache cache = forward_.allocate_cache(generation.cache_rows());
  for (std::size_t index = 0;; ++index) {
    const auto& decision = admission.at(index, generation.free_slots(), generation.is_active());
    if (decision.admitted.empty() && !generation.is_active()) return;
    const GenerationStep step = decision.admitted.empty() ? generation.decode() : generation.prefill(decision.admitted);
    sinks.on_begin(step, decision.time);
    const auto tokens = run(step, cache, fusion);
    generation.append(step, tokens);
    sinks.on_end(step, tokens, decision.time, generation.is_active());
  }
}

std::vector<std::int32_t> Rank::run(const GenerationStep& step, const KvCache& cache, const Fusion& fusion) {
  auto tokens = forward_.next_tokens(step.batch, {&cache, step.cache_rows}, step.draws, fusion);
  return share_tokens(std::move(tokens), step.requests.size());
}

// The last stage's choice, on every rank of the replica.
std::vector<std::int32_t> Rank::share_tokens(std::vector<std::int32_t> tokens, std::size_t count) {
  if (layout_.stages() == 1) return tokens;  // every shard has them
  const ArenaScope scope(device_->arena());
  const Tensor shared =
      device_->arena().allocate("next tokens", MemoryUse::activations, DType::i32, 1, static_cast<std::int64_t>(count));
  const int root = static_cast<int>((layout_.stages() - 1) * layout_.shards());
  if (replica_.rank() == root) device_->upload(tokens, shared);
  replica_.broadcast(shared, root, "tokens");
  const auto values = device_->download(shared);
  return {values.begin(), values.end()};
}

std::vector<RequestIndices> batches_of_replica(std::span<const ScoreRequest> requests, const RunSettings& settings,
                                               const Layout& layout, std::int64_t replica) {
  auto batches = form_batches(requests, settings.batch, settings.packing, settings.batch_tokens);
  std::vector<RequestIndices> mine;
  for (auto index = static_cast<std::size_t>(replica); index < batches.size();
       index += static_cast<std::size_t>(layout.replicas()))
    mine.push_back(std::move(batches[index]));
  return mine;
}

std::vector<Batch> pipeline_batches(std::span<const ScoreRequest> requests, const RequestIndices& batch,
                                    const Layout& layout, Packing packing) {
  std::vector<Batch> parts;
  const auto micro_batches = layout.micro_batches() ? split_batch(requests, batch, layout.stages(), packing)
                                                    : std::vector<RequestIndices>{batch};
  for (const auto& which : micro_batches) parts.push_back(make_batch(requests, which, packing));
  return parts;
}

void count_tokens(std::span<const Batch> parts, TokenCounts& tokens) {
  for (const Batch& part : parts) {
    tokens.computed += part.rows() - part.padding;
    tokens.padding += part.padding;
  }
}

}  // namespace batchscope
