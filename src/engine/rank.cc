// What one rank does with a batch, and with a generation.
#include "engine/rank.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"

namespace batchscope {
namespace {

enum class Group { shards, stages, replica };

// The ranks of a group that `place` belongs to, in ring order.
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

std::unique_ptr<Communicator> communicator(DeviceSet& devices, const Layout& layout, const Layout::Place& place,
                                           Group group, Device& device, Ledger& ledger) {
  const auto members = members_of(layout, place, group);
  const auto self = std::find(members.begin(), members.end(), static_cast<int>(layout.rank(place)));
  return devices.make_communicator(members, static_cast<int>(self - members.begin()), device, ledger);
}

// At least so many bytes; what was there before is not kept.
void make_room(Device& device, HostBuffer& buffer, std::int64_t bytes) {
  if (buffer.bytes < bytes) buffer = device.host_buffer(bytes);
}

std::int64_t word_of(const Fusion& fusion) {
  return fusion.qkv | fusion.swiglu << 1 | fusion.norm << 2 | fusion.attention << 3 | fusion.comm << 4 |
         fusion.overlap << 5;
}

// What decides which kernels run on what, but for the contents of tensors. Plain attention has a score for every pair.
ReplayKey replay_key(std::int64_t kind, const Batch& batch, std::span<const BatchTurn> turns, const Fusion& fusion) {
  ReplayKey key{kind, word_of(fusion)};
  const auto shape = fusion.attention ? batch.launch_shape(turns) : batch.shape();
  key.insert(key.end(), shape.begin(), shape.end());
  return key;
}

}  // namespace

Rank::Rank(const ModelConfig& config, const Layout& layout, int rank, const Precision& precision,
           DeviceSet& devices)
    : config_(config),
      layout_(layout),
      place_(layout.place(rank)),
      device_(devices.make_device(rank)),
      memory_(device_->arena()),
      shards_(communicator(devices, layout, place_, Group::shards, *device_, step_ledger_)),
      stages_(communicator(devices, layout, place_, Group::stages, *device_, step_ledger_)),
      replica_(communicator(devices, layout, place_, Group::replica, *device_, step_ledger_)),
      forward_(config, layout, rank, precision, *device_, *shards_, *stages_) {}

std::vector<int> Rank::replica_members() const { return members_of(layout_, place_, Group::replica); }

Rank::StepKind Rank::kind_of(const GenerationStep& step) {
  const bool is_drawn =
      std::any_of(step.draws.begin(), step.draws.end(), [](const TokenDraw& draw) { return draw.temperature > 0; });
  return is_drawn ? StepKind::draw : StepKind::most_probable;
}

// Products of a half of a large batch are still large enough to be as fast, and reductions long enough to be worth it
// (2 x H200: at 1600 rows in all there was nothing to gain).
constexpr std::int64_t least_rows_of_a_turn = 1536;

std::vector<BatchTurn> Rank::turns_of_score(const Batch& part, const Fusion& fusion) const {
  const bool pays = fusion.overlap && shards_->size() > 1 && device_->does_two_things();
  return pays ? turns_of(part, least_rows_of_a_turn) : one_turn(part);
}

bool Rank::is_new(StepKind kind, const Batch& batch, std::span<const BatchTurn> turns, std::int64_t sequences,
                  const Fusion& fusion) {
  if (device_->preparation(batch.rows()) == 0) return false;
  std::vector<std::int64_t> key{static_cast<std::int64_t>(kind), word_of(fusion), device_->preparation(sequences),
                                device_->preparation(batch.logits())};
  for (const BatchTurn& turn : turns) key.push_back(device_->preparation(turn.rows));
  return prepared_.insert(key).second;
}

bool Rank::is_new(const GenerationStep& step, const Fusion& fusion) {
  return is_new(kind_of(step), step.batch, one_turn(step.batch), std::ssize(step.requests), fusion);
}

void Rank::prepare(std::span<const std::vector<Batch>> batches, const Fusion& fusion) {
  for (const auto& parts : batches)
    for (const Batch& part : parts)
      if (is_new(StepKind::score, part, turns_of_score(part, fusion), 0, fusion))
        device_->prepare([&] { idle_.push_back(enqueue_score(part, fusion)); });
  device_->wait(device_->record());
}

void Rank::prepare(const Generation& generation, const Fusion& fusion) {
  const ArenaScope scope(device_->arena());
  const KvCache cache = allocate_cache(generation.cache_rows());
  for (const GenerationStep& step : generation.largest_steps())
    if (is_new(step, fusion)) device_->prepare([&] { idle_.push_back(enqueue_step(step, cache, fusion)); });
  device_->wait(device_->record());
}

void Rank::score(std::span<const std::vector<Batch>> batches, const Fusion& fusion, std::span<double> out,
                 const BatchSinks& sinks) {
  drop_in_flight();
  for (std::size_t index = 0; index < batches.size(); ++index) {
    sinks.on_begin(index);
    const auto& parts = batches[index];
    for (const Batch& part : parts) {
      InFlight step = enqueue_score(part, fusion);
      step.batch = index;
      step.is_last_part = &part == &parts.back();
      in_flight_.push_back(std::move(step));
    }
    // In sequence means that the next batch starts once this one has left the last stage.
    if (layout_.stages() > 1 && !layout_.micro_batches()) replica_->barrier();
    while (!in_flight_.empty() && device_->has_happened(in_flight_.front().end)) finish_oldest(out, sinks);
    while (in_flight_.size() > parts.size()) finish_oldest(out, sinks);  // one batch behind
  }
  while (!in_flight_.empty()) finish_oldest(out, sinks);
}

Rank::InFlight Rank::enqueue_score(const Batch& part, const Fusion& fusion) {
  const ArenaScope scope(device_->arena());
  const std::vector<BatchTurn> turns = turns_of_score(part, fusion);
  const StepInputs inputs(config_, part, turns);
  const Tensor result = device_->arena().allocate("log-probabilities", MemoryUse::activations, DType::f32, 1,
                                                  std::max<std::int64_t>(part.logits(), 1));
  InFlight step = take_buffers();
  step.part = holds_results() ? &part : nullptr;
  enqueue(step, inputs, result, replay_key(static_cast<std::int64_t>(StepKind::score), part, turns, fusion), fusion,
          [&](const StepTensors& tensors) {
            forward_.score({part, turns, tensors, fusion}, result);
          });
  return step;
}

Rank::InFlight Rank::take_buffers() {
  if (idle_.empty()) return {};
  InFlight step = std::move(idle_.back());
  idle_.pop_back();
  return step;
}

void Rank::enqueue(InFlight& step, const StepInputs& inputs, const Tensor& out, const ReplayKey& shape,
                   const Fusion& fusion, const std::function<void(const StepTensors& inputs)>& forward) {
  const Tensor block =
      device_->arena().allocate("step inputs", MemoryUse::activations, DType::i32, 1, inputs.bytes() / 4);
  if (device_->is_preparing()) return forward(inputs.on(block));
  make_room(*device_, step.inputs, inputs.bytes());
  inputs.pack(step.inputs.data.get());
  step.begin = device_->record();
  device_->copy_in(step.inputs.data.get(), block);
  step_ledger_.clear();
  const auto enqueue_forward = [&] { forward(inputs.on(block)); };
  if (fusion.graph && device_->has_graphs()) {
    ReplayKey key = shape;
    for (const Tensor& tensor : {block, out}) key.push_back(reinterpret_cast<std::intptr_t>(tensor.data));
    if (device_->replay(key, enqueue_forward))
      replayed_[key] = step_ledger_;
    else
      step_ledger_ = replayed_.at(key);
  } else {
    enqueue_forward();
  }
  ledger_.add(step_ledger_, 1);
  if (step.part != nullptr) {
    make_room(*device_, step.results, out.bytes());
    device_->copy_out(out, step.results.data.get());
  }
  step.end = device_->record();
}

void Rank::finish_oldest(std::span<double> out, const BatchSinks& sinks) {
  InFlight& step = in_flight_.front();
  finish(step);
  if (step.part != nullptr) {
    const auto* log_probabilities = reinterpret_cast<const float*>(step.results.data.get());
    for (const auto& scored : step.part->scored)
      out[scored.request] = std::accumulate(log_probabilities + scored.begin,
                                            log_probabilities + scored.begin + scored.count, 0.0);
  }
  if (step.is_last_part)
    sinks.on_end(step.batch, device_->time_of(step.begin), device_->time_of(step.end));
  idle_.push_back(std::move(step));
  in_flight_.pop_front();
}

void Rank::finish(const InFlight& step) {
  device_->wait(step.end);
  working_ += device_->time_of(step.end) - device_->time_of(step.begin);
}

void Rank::begin_measuring() {
  ledger_.clear();
  working_ = Nanoseconds(0);
}

// Of a run that failed.
void Rank::drop_in_flight() {
  for (InFlight& step : in_flight_) idle_.push_back(std::move(step));
  in_flight_.clear();
}

void Rank::warm_up(const Generation& generation, const Fusion& fusion) {
  const ArenaScope scope(device_->arena());
  const KvCache cache = allocate_cache(generation.cache_rows());
  for (const GenerationStep& step : generation.largest_steps()) run(step, cache, fusion);
}

ObservedStep Rank::observe(const std::function<Nanoseconds()>& run, std::span<const Batch> parts) {
  constexpr int repeats = 5;
  const auto median = [](std::vector<double> values) {
    const auto middle = values.begin() + std::ssize(values) / 2;
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  };
  ObservedStep observed{.device = device_->name()};
  std::vector<double> alone;
  run();  // a graph of it may be new
  for (int repeat = 0; repeat < repeats; ++repeat) alone.push_back(to_seconds(run()));
  observed.seconds = median(alone);
  std::vector<std::vector<TimedEntry>> all;
  TimedLaunches launches(*device_);
  for (int repeat = 0; repeat < repeats; ++repeat) {
    run();
    all.push_back(launches.take());
  }
  observed.entries = all.front();
  for (std::size_t i = 0; i < observed.entries.size(); ++i) {
    std::vector<double> seconds;
    for (const auto& entries : all) seconds.push_back(entries[i].seconds);
    observed.entries[i].seconds = median(seconds);
  }
  TokenCounts tokens;
  count_tokens(parts, tokens);
  observed.padding_share = static_cast<double>(tokens.padding) /
                           static_cast<double>(std::max<std::int64_t>(tokens.computed + tokens.padding, 1));
  return observed;
}

ObservedStep Rank::observe(const std::vector<Batch>& batch, const Fusion& fusion, std::size_t requests) {
  std::vector<double> unused(requests);
  Nanoseconds taken{0};
  const BatchSinks sinks{.on_end = [&](auto, Nanoseconds begin, Nanoseconds end) { taken = end - begin; }};
  const auto run = [&] {
    score({&batch, 1}, fusion, unused, sinks);
    return taken;
  };
  ObservedStep observed = observe(run, batch);
  observed.kind = "batch";
  return observed;
}

std::vector<ObservedStep> Rank::observe(const Generation& generation, const Fusion& fusion) {
  const ArenaScope scope(device_->arena());
  const KvCache cache = allocate_cache(generation.cache_rows());
  std::vector<ObservedStep> all;
  for (const GenerationStep& step : generation.largest_steps()) {
    const auto run_step = [&] {
      const Nanoseconds before = working_;
      run(step, cache, fusion);
      return working_ - before;
    };
    all.push_back(observe(run_step, {&step.batch, 1}));
    all.back().kind = step.is_prefill ? "prefill" : "decode";
  }
  return all;
}

void Rank::generate(Generation generation, Admission& admission, const Fusion& fusion, const StepSinks& sinks) {
  const ArenaScope scope(device_->arena());
  const KvCache cache = allocate_cache(generation.cache_rows());
  // What is known of a graph is kept, and prompts of callers hardly ever have the same shape twice.
  Fusion of_prefill = fusion;
  of_prefill.graph = fusion.graph && !generation.is_open();
  while (true) {
    const auto decision = admission.next(generation.free_slots(), generation.is_active());
    if (!decision.cancelled.empty()) {
      generation.cancel(decision.cancelled);
      if (!generation.is_active()) sinks.on_idle();
    }
    if (decision.admitted.empty() && !generation.is_active()) {
      if (decision.has_ended) return;
      continue;
    }
    const bool is_prefill = !decision.admitted.empty();
    const GenerationStep step = is_prefill ? generation.prefill(decision.admitted) : generation.decode();
    if (is_new(step, fusion)) {
      device_->wait(device_->record());
      admission.barrier();
      device_->prepare([&] { idle_.push_back(enqueue_step(step, cache, fusion)); });
      device_->wait(device_->record());
      admission.barrier();
    }
    sinks.on_begin(step, decision.time);
    const StepOutput output = run(step, cache, is_prefill ? of_prefill : fusion);
    generation.append(step, output.tokens);
    sinks.on_end(step, output, decision.time, generation.is_active());
  }
}

// What a step's results are in the block of words that is read: tokens [sequences], then for each logit row the
// log-probability of its token, the most probable token and its log-probability.
struct Rank::ResultWords {
  explicit ResultWords(const GenerationStep& step)
      : sequences(std::ssize(step.requests)), logits(step.has_log_probabilities ? step.batch.logits() : 0) {}
  std::int64_t all() const { return sequences + 3 * logits; }
  std::int64_t begin_of(std::int64_t part) const { return sequences + part * logits; }

  std::int64_t sequences, logits;
};

Rank::InFlight Rank::enqueue_step(const GenerationStep& step, const KvCache& cache, const Fusion& fusion) {
  const ArenaScope scope(device_->arena());
  const StepKind kind = kind_of(step);
  const std::vector<BatchTurn> turns = one_turn(step.batch);
  const StepInputs inputs(
      config_, step.batch, turns, step.cache_rows,
      kind == StepKind::draw ? std::span<const TokenDraw>(step.draws) : std::span<const TokenDraw>());
  const ResultWords words(step);
  const Tensor all = device_->arena().allocate("next tokens", MemoryUse::activations, DType::i32, 1, words.all());
  const auto part = [&](std::int64_t index, DType dtype) {
    Tensor values = all.column_range(words.begin_of(index), words.logits);
    values.dtype = dtype;
    return values;
  };
  const NextTokens out{all.column_range(0, words.sequences), part(0, DType::f32), part(1, DType::i32),
                       part(2, DType::f32)};
  InFlight passing = take_buffers();
  passing.part = &step.batch;
  ReplayKey key = replay_key(static_cast<std::int64_t>(kind), step.batch, turns, fusion);
  key.push_back(reinterpret_cast<std::intptr_t>(cache.layers.front().k.data));
  key.push_back(cache.layers.front().k.rows);
  key.push_back(words.logits);
  enqueue(passing, inputs, all, key, fusion, [&](const StepTensors& tensors) {
    forward_.next_tokens({step.batch, turns, tensors, fusion, &cache}, out);
    // Every shard of the last stage has them; other stages are told.
    if (layout_.stages() > 1)
      replica_->broadcast(all, static_cast<int>((layout_.stages() - 1) * layout_.shards()), "tokens");
  });
  return passing;
}

StepOutput Rank::run(const GenerationStep& step, const KvCache& cache, const Fusion& fusion) {
  InFlight passing = enqueue_step(step, cache, fusion);
  finish(passing);
  const ResultWords words(step);
  const std::byte* const results = passing.results.data.get();
  const auto values = [&]<class T>(T, std::int64_t begin, std::int64_t count) {
    std::vector<T> copied(static_cast<std::size_t>(count));
    if (count > 0) std::memcpy(copied.data(), results + begin * 4, copied.size() * sizeof(T));
    return copied;
  };
  StepOutput output{.tokens = values(std::int32_t{}, 0, words.sequences),
                    .log_probabilities = values(float{}, words.begin_of(0), words.logits),
                    .top_tokens = values(std::int32_t{}, words.begin_of(1), words.logits),
                    .top_log_probabilities = values(float{}, words.begin_of(2), words.logits)};
  idle_.push_back(std::move(passing));
  return output;
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
