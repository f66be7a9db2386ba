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

// One sequence under generation, and where its keys and values lie in the cache.
struct Growing {
  std::int64_t cache_begin = 0;
  std::int64_t cached = 0;  // tokens whose keys and values are there
  std::int64_t longest = 0;
  bool finished = false;
};

// The tokens of each unfinished sequence that are not cached yet, and where they go.
struct NextStep {
  Batch batch;
  std::vector<std::int32_t> cache_rows;
  std::vector<std::size_t> sequences;  // one a logit row
};

NextStep next_step(const std::vector<std::vector<std::int32_t>>& tokens, std::vector<Growing>& growing) {
  NextStep step;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    Growing& g = growing[i];
    if (g.finished) continue;
    const auto length = static_cast<std::int64_t>(tokens[i].size());
    const std::int64_t count = length - g.cached;
    step.batch.segments.push_back(
        {.query_begin = step.batch.rows(), .query_count = count, .shared = {}, .own = {g.cache_begin, length}});
    for (std::int64_t position = g.cached; position < length; ++position) {
      step.batch.tokens.push_back(tokens[i][static_cast<std::size_t>(position)]);
      step.batch.positions.push_back(static_cast<std::int32_t>(position));
      step.cache_rows.push_back(static_cast<std::int32_t>(g.cache_begin + position));
    }
    step.batch.logit_rows.push_back(static_cast<std::int32_t>(step.batch.rows() - 1));
    step.batch.targets.push_back(-1);
    step.sequences.push_back(i);
    g.cached = length;
  }
  return step;
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

std::vector<std::vector<std::int32_t>> Rank::generate(std::span<const GenerateRequest> requests,
                                                      std::span<const std::int32_t> eos, const RunSettings& settings,
                                                      const std::function<void()>& first_token) {
  std::vector<std::vector<std::int32_t>> tokens;
  std::vector<Growing> growing;
  std::int64_t cache_rows = 0;
  for (const auto& request : requests) {
    const std::int64_t longest = std::ssize(request.prompt) + request.new_tokens;
    tokens.push_back(request.prompt);
    growing.push_back({.cache_begin = cache_rows, .longest = longest, .finished = request.new_tokens == 0});
    cache_rows += longest;
  }
  const ArenaScope scope(device_->arena());
  const KvCache cache = forward_.allocate_cache(cache_rows);
  bool first = true;
  for (NextStep step = next_step(tokens, growing); !step.sequences.empty(); step = next_step(tokens, growing)) {
    auto chosen = forward_.next_tokens(step.batch, {&cache, step.cache_rows}, settings.fusion);
    chosen = share_tokens(std::move(chosen), step.sequences.size());
    if (std::exchange(first, false)) first_token();
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      auto& sequence = tokens[step.sequences[i]];
      sequence.push_back(chosen[i]);
      growing[step.sequences[i]].finished = std::ssize(sequence) >= growing[step.sequences[i]].longest ||
                                            std::find(eos.begin(), eos.end(), chosen[i]) != eos.end();
    }
  }
  return tokens;
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
  auto batches = form_batches(requests, settings.batch, settings.packing);
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
