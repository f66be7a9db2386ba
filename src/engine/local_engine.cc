// Loads a model into the ranks of this process, and runs scoring and generation on them.
#include "engine/local_engine.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <mutex>

#include "base/error.h"
#include "base/phase_list.h"
#include "base/phase_watch.h"
#include "engine/step_phases.h"

namespace batchscope {
namespace {

std::size_t sequences(const std::vector<Batch>& parts) {
  std::size_t count = 0;
  for (const Batch& part : parts) count += part.scored.size();
  return count;
}

// A batch as phases name it.
std::string batch_detail(std::size_t index, std::size_t sequences) {
  return fmt::format("batch {}, {} sequences", index, sequences);
}

// A step's tokens, known `now`, to the sequences that they belong to.
void append_tokens(const GenerationStep& step, std::span<const std::int32_t> tokens, Nanoseconds begin, Nanoseconds now,
                   std::vector<GeneratedSequence>& sequences) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    GeneratedSequence& sequence = sequences[step.requests[i]];
    sequence.tokens.push_back(tokens[i]);
    sequence.end = now;
    if (!step.is_prefill) continue;
    sequence.admitted = begin;
    sequence.first_token = now;
  }
}

// Which requests' log-likelihoods a replica has, in the order in which its RankResult does.
RequestIndices scored_by(const std::vector<std::vector<Batch>>& batches) {
  RequestIndices all;
  for (const auto& batch : batches)
    for (const Batch& part : batch)
      for (const auto& scored : part.scored) all.push_back(scored.request);
  return all;
}

std::size_t replica_of(const Rank& rank) { return static_cast<std::size_t>(rank.place().replica); }

// What the run was timed for.
void record_timed(PhaseSink* phases, Nanoseconds begin, Nanoseconds time) {
  if (phases != nullptr)
    phases->record({.name = timed_phase, .track = "engine", .begin = begin, .end = begin + time});
}

}  // namespace

std::string LocalEngine::describe() const { return "batchscope"; }

Capabilities LocalEngine::capabilities() const {
  return {.layouts = {"mp", "pp", "tp", "dp"},
          .fusions = {"qkv", "swiglu", "norm", "attention", "comm"},
          .packings = {"padded", "packed", "prefix"},
          .dtypes = {"f32", "bf16"},
          .plans = true};
}

Nanoseconds LocalEngine::load(const ModelSource& model, const Placement& placement) {
  const Nanoseconds begin = monotonic_clock().now();
  const int ranks = static_cast<int>(placement.layout.ranks());
  team_.reset();
  ranks_.clear();
  devices_.reset();
  if (processes_ == nullptr) threads_ = std::make_unique<ThreadWorld>(ranks);
  world_ = processes_ != nullptr ? processes_ : threads_.get();
  std::unique_ptr<WeightSource> weights;
  world_->together([&] {
    check(placement, *world_);
    config_ = read_config(model);
    DeviceProvider& provider = device_provider(placement.device.kind);
    const DeviceUse use = use_of(placement, world_->cpu_sharers());
    provider.check(use, placement.precision());
    placement.layout.check(config_);
    placement_ = placement;
    devices_ = provider.open(use, *world_);
    ranks_.resize(static_cast<std::size_t>(world_->count()));
    team_ = std::make_unique<Team>(world_->count());
    weights = open_weights(model, config_);
  });
  world_->together([&] { team_->run([&](int here) { build_rank(world_->first() + here, *weights); }, [] {}); });
  return monotonic_clock().now() - begin;
}

void LocalEngine::build_rank(int index, const WeightSource& weights) {
  const PhaseScope phase(nullptr, "load", {}, placement_.layout.to_string(), &devices_->current_phase(index));
  auto& rank = ranks_[static_cast<std::size_t>(index - world_->first())];
  rank = std::make_unique<Rank>(config_, placement_.layout, index, placement_.precision(), *devices_);
  rank->load(weights);
}

void LocalEngine::on_every_rank(const std::function<void(Rank&, int index)>& work) {
  const auto wake_others = [&] {
    world_->abort();
    devices_->abort();
  };
  world_->together([&] {
    team_->run([&](int here) { work(*ranks_[static_cast<std::size_t>(here)], world_->first() + here); }, wake_others);
  });
}

void LocalEngine::prepare(const RunSettings& settings) {
  const DeviceProvider& provider = device_provider(placement_.device.kind);
  if (settings.fusion.graph && to_string(settings.fusion) != "on" && !provider.has_graphs())
    spdlog::warn("--fusion graph: {} devices have no graphs to replay; it has no effect here", placement_.device.kind);
  devices_->prepare(settings.link, settings.device_memory_bytes);
  link_ = provider.link_kind(settings.link, placement_.device);
  for (const auto& rank : ranks_) {
    Arena& arena = rank->device().arena();
    arena.limit(std::nullopt);
    arena.limit(settings.device_memory_bytes);
    arena.reset_peak();
  }
}

void LocalEngine::begin_measuring() {
  world_->together([&] { world_->align_clocks(); });
  on_every_rank([&](Rank& rank, int index) {
    rank.begin_measuring();
    devices_->begin_measuring(index);
  });
}

ScoreReport LocalEngine::score(std::span<const ScoreRequest> requests, const RunSettings& settings, PhaseSink* phases) {
  ScoreReport run;
  TokenCounts counts;
  std::int64_t formed_batches = 0;
  const auto replicas = static_cast<std::size_t>(placement_.layout.replicas());
  // Of each replica, made once and read by all its ranks that are here.
  std::vector<std::vector<std::vector<Batch>>> batches(replicas);
  world_->together([&] {
    prepare(settings);
    for (std::size_t replica = 0; replica < replicas; ++replica) {
      const auto formed = batches_of_replica(requests, settings, placement_.layout, static_cast<std::int64_t>(replica));
      formed_batches += std::ssize(formed);
      for (const auto& batch : formed) {
        batches[replica].push_back(pipeline_batches(requests, batch, placement_.layout, settings.packing));
        count_tokens(batches[replica].back(), counts);
      }
    }
    for (const auto& request : requests) counts.requested += std::ssize(request.tokens) - 1;
  });
  run.log_likelihoods.resize(requests.size());
  run.tokens = reported(counts);
  run.batches = formed_batches;

  PhaseList told;  // of a process that others are to hear from
  PhaseSink* const sink = has_rank_0() ? phases : &told;
  on_every_rank([&](Rank& rank, int) { rank.prepare(batches[replica_of(rank)], settings.fusion); });
  on_every_rank([&](Rank& rank, int index) {
    const auto& mine = batches[static_cast<std::size_t>(rank.place().replica)];
    const PhaseScope phase(sink, warm_up_phase, rank.device().name(), {}, &devices_->current_phase(index));
    rank.score(std::span(mine).first(std::min<std::size_t>(mine.size(), 1)), settings.fusion, run.log_likelihoods, {});
  });
  std::vector<RankResult> results(ranks_.size());
  begin_measuring();
  const Nanoseconds begin = monotonic_clock().now();
  on_every_rank([&](Rank& rank, int index) {
    const auto replica = static_cast<std::size_t>(rank.place().replica);
    RankResult& result = of(results, index);
    CurrentPhase& current = devices_->current_phase(index);
    const auto on_begin = [&](std::size_t batch) {
      current.show("batch", batch_detail(batch, sequences(batches[replica][batch])), monotonic_clock().now());
    };
    const auto on_end = [&](std::size_t batch, Nanoseconds batch_begin, Nanoseconds batch_end) {
      if (rank.leads()) result.started.push_back(batch_begin);
      if (rank.holds_results()) result.ended.push_back(batch_end);
      if (sink != nullptr)
        sink->record({.name = "batch",
                      .track = rank.device().name(),
                      .begin = batch_begin,
                      .end = batch_end,
                      .detail = batch_detail(batch, sequences(batches[replica][batch]))});
    };
    rank.score(batches[replica], settings.fusion, run.log_likelihoods, {on_begin, on_end});
    current.clear();
    devices_->end_measuring(index);
  });
  run.time = monotonic_clock().now() - begin;
  record_timed(phases, begin, run.time);
  for (int index = world_->first(); index < world_->first() + world_->count(); ++index) {
    RankResult& result = of(results, index);
    result.device = report(index, run.time);
    if (!rank(index).holds_results()) continue;
    for (const std::size_t request : scored_by(batches[static_cast<std::size_t>(rank(index).place().replica)]))
      result.log_likelihoods.push_back(run.log_likelihoods[request]);
  }
  results = gather(std::move(results), told, phases);
  // Of each replica's batches: when the first stage took them up, and when the last stage had done with them.
  std::vector<std::vector<Nanoseconds>> started(replicas), ended(replicas);
  for (std::size_t index = 0; index < results.size(); ++index) {
    RankResult& result = results[index];
    const auto replica = static_cast<std::size_t>(placement_.layout.place(static_cast<std::int64_t>(index)).replica);
    for (const Nanoseconds time : result.started) started[replica].push_back(time + result.clock.offset);
    for (const Nanoseconds time : result.ended) ended[replica].push_back(time + result.clock.offset);
    if (result.log_likelihoods.empty()) continue;
    const RequestIndices scored = scored_by(batches[replica]);
    for (std::size_t i = 0; i < scored.size(); ++i) run.log_likelihoods[scored[i]] = result.log_likelihoods[i];
  }
  for (std::size_t replica = 0; replica < replicas; ++replica)
    for (std::size_t index = 0; index < ended[replica].size(); ++index)
      run.batch_times.push_back(ended[replica][index] - started[replica][index]);
  take_devices(results, run);
  if (settings.observe_steps)
    run.observed = observe([&](Rank& rank) -> std::vector<ObservedStep> {
      const auto& mine = batches[replica_of(rank)];
      if (mine.empty()) return {};
      const auto rows = [](const std::vector<Batch>& parts) {
        std::int64_t count = 0;
        for (const Batch& part : parts) count += part.rows();
        return count;
      };
      const auto& largest = *std::max_element(mine.begin(), mine.end(), [&](const auto& a, const auto& b) { return rows(a) < rows(b); });
      return {rank.observe(largest, settings.fusion, requests.size())};
    });
  return run;
}

// What the ranks of a replica do alike from the begin of a run to its end.
struct LocalEngine::RankSteps {
  RequestSource& source;  // only asked by the replica's first rank
  const Generation& start;
  const Fusion& fusion;
  PhaseSink* sink;
  Nanoseconds begin;
  // On the replica's first rank; instants since the begin.
  std::function<void(const GenerationStep& step, const StepOutput& output, Nanoseconds step_begin, Nanoseconds now)>
      on_step;
};

GenerateReport LocalEngine::generate(std::span<const GenerateRequest> requests, const RunSettings& settings,
                                     PhaseSink* phases, const TokenSink& on_token) {
  for (const auto& request : requests) {
    if (request.prompt.empty()) throw InputError("a prompt has no token; give some text");
    if (request.new_tokens < 1)
      throw InputError("a request asks for {} new tokens; the minimum is 1", request.new_tokens);
  }
  // Of each replica; each rank goes on from a copy.
  std::vector<RequestIndices> served;
  std::vector<Generation> starts;
  world_->together([&] {
    prepare(settings);
    for (std::int64_t replica = 0; replica < placement_.layout.replicas(); ++replica) {
      served.push_back(requests_of_replica(requests.size(), placement_.layout, replica));
      starts.emplace_back(extent_of(requests, served.back(), settings.batch), config_.eos_tokens);
    }
  });
  PhaseList told;  // of a process that others are to hear from
  PhaseSink* const sink = has_rank_0() ? phases : &told;
  warm_up(starts, settings, sink);

  GenerateReport run;
  TokenCounts counts;
  run.sequences.resize(requests.size());
  std::vector<RankResult> results(ranks_.size());
  std::mutex sink_mutex;
  begin_measuring();
  const Nanoseconds begin = clock_.now();
  on_every_rank([&](Rank& rank, int index) {
    RankResult& result = of(results, index);
    const auto replica = replica_of(rank);
    ListedRequests source(requests, served[replica], clock_, begin);
    const auto on_step = [&](const GenerationStep& step, const StepOutput& output, Nanoseconds step_begin,
                             Nanoseconds now) {
      const auto nan = std::find(output.tokens.begin(), output.tokens.end(), -1);
      if (nan != output.tokens.end())
        throw Failure("a logit of request {} is NaN; the weights or the arithmetic overflow",
                      step.requests[static_cast<std::size_t>(nan - output.tokens.begin())]);
      result.step_times.push_back(now - step_begin);
      result.computed += step.batch.rows();
      append_tokens(step, output.tokens, step_begin, now, run.sequences);
      if (!on_token || !has_rank_0()) return;
      const std::lock_guard lock(sink_mutex);
      for (std::size_t i = 0; i < output.tokens.size(); ++i) on_token(step.requests[i], output.tokens[i]);
    };
    run_steps(rank, index, {source, starts[replica], settings.fusion, sink, begin, on_step});
    devices_->end_measuring(index);
  });
  run.time = clock_.now() - begin;
  record_timed(phases, begin, run.time);
  for (int index = world_->first(); index < world_->first() + world_->count(); ++index) {
    RankResult& result = of(results, index);
    result.device = report(index, run.time);
    if (!rank(index).leads()) continue;
    for (const std::size_t request : served[replica_of(rank(index))])
      result.sequences.push_back(run.sequences[request]);
  }
  results = gather(std::move(results), told, phases);
  for (std::size_t index = 0; index < results.size(); ++index) {
    RankResult& result = results[index];
    run.step_times.insert(run.step_times.end(), result.step_times.begin(), result.step_times.end());
    counts.computed += result.computed;
    const auto place = placement_.layout.place(static_cast<std::int64_t>(index));
    for (std::size_t i = 0; i < result.sequences.size(); ++i) {
      const std::size_t request = served[static_cast<std::size_t>(place.replica)][i];
      run.sequences[request] = std::move(result.sequences[i]);
      if (!on_token || world_->is_here(static_cast<int>(index))) continue;
      for (const std::int32_t token : run.sequences[request].tokens) on_token(request, token);
    }
  }
  run.steps = std::ssize(run.step_times);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    run.sequences[i].arrival = requests[i].arrival;
    counts.requested += std::ssize(requests[i].prompt) + std::ssize(run.sequences[i].tokens) - 1;
  }
  run.tokens = reported(counts);
  take_devices(results, run);
  if (settings.observe_steps)
    run.observed = observe([&](Rank& rank) { return rank.observe(starts[replica_of(rank)], settings.fusion); });
  return run;
}

void LocalEngine::serve(RequestSource& source, std::int64_t sequence_tokens, std::int64_t prompt_tokens,
                        const RunSettings& settings, PhaseSink* phases, const std::function<void()>& on_ready,
                        const StepSink& on_step) {
  std::vector<Generation> starts;
  world_->together([&] {
    prepare(settings);
    if (world_->count() < world_->size() && placement_.layout.replicas() > 1)
      throw InputError("--parallel {}: replicas in several processes cannot be served by one; start a server for each",
                       placement_.layout.to_string());
    for (std::int64_t replica = 0; replica < placement_.layout.replicas(); ++replica)
      starts.emplace_back(open_extent(settings.batch, sequence_tokens, prompt_tokens), config_.eos_tokens);
  });
  PhaseSink* const sink = has_rank_0() ? phases : nullptr;
  warm_up(starts, settings, sink);
  begin_measuring();
  if (has_rank_0()) on_ready();
  const Nanoseconds begin = clock_.now();
  std::mutex sink_mutex;
  on_every_rank([&](Rank& rank, int index) {
    const auto on_end = [&](const GenerationStep& step, const StepOutput& output, auto, auto) {
      const std::lock_guard lock(sink_mutex);
      on_step(step, output);
    };
    run_steps(rank, index, {source, starts[replica_of(rank)], settings.fusion, sink, begin, on_end});
    devices_->end_measuring(index);
  });
  record_timed(phases, begin, clock_.now() - begin);
}

void LocalEngine::warm_up(const std::vector<Generation>& starts, const RunSettings& settings, PhaseSink* sink) {
  on_every_rank([&](Rank& rank, int) { rank.prepare(starts[replica_of(rank)], settings.fusion); });
  on_every_rank([&](Rank& rank, int index) {
    const PhaseScope phase(sink, warm_up_phase, rank.device().name(), {}, &devices_->current_phase(index));
    rank.warm_up(starts[replica_of(rank)], settings.fusion);
  });
}

void LocalEngine::run_steps(Rank& rank, int index, const RankSteps& steps) {
  const auto members = rank.replica_members();
  const auto self = std::find(members.begin(), members.end(), index) - members.begin();
  Admission admission(steps.source, replica_of(rank), clock_, steps.begin,
                      world_->group(members, static_cast<int>(self)));
  StepPhases step_phases(steps.sink, rank.device().name(), devices_->current_phase(index));
  const auto on_begin = [&](const GenerationStep& step, Nanoseconds step_begin) {
    step_phases.begin(step, steps.begin + step_begin);
  };
  const auto on_end = [&](const GenerationStep& step, const StepOutput& output, Nanoseconds step_begin,
                          bool is_active) {
    const Nanoseconds now = clock_.now() - steps.begin;
    step_phases.end(step, steps.begin + step_begin, steps.begin + now);
    if (!is_active) step_phases.pause();
    if (rank.leads()) steps.on_step(step, output, step_begin, now);
  };
  rank.generate(steps.start, admission, steps.fusion, {on_begin, on_end, [&] { step_phases.pause(); }});
}

std::vector<RankResult> LocalEngine::gather(std::vector<RankResult> results, PhaseList& phases, PhaseSink* sink) {
  results.front().phases = phases.take();
  std::vector<RankResult> all;
  on_every_rank([&](Rank& rank, int index) {
    RankResult& mine = of(results, index);
    mine.ledger = rank.ledger().entries();
    mine.clock = world_->clock_offset();
    for (const std::string& bytes : world_->all_ranks(index).gather(to_bytes(mine)))
      all.push_back(rank_result_from_bytes(bytes));
  });
  for (RankResult& result : all)
    for (Phase& phase : result.phases) {
      phase.clock_offset += result.clock.offset;
      phase.clock_error += result.clock.error;
      if (sink != nullptr) sink->record(std::move(phase));
    }
  return all;
}

std::vector<ObservedStep> LocalEngine::observe(const std::function<std::vector<ObservedStep>(Rank& rank)>& observe) {
  std::vector<std::vector<ObservedStep>> of_ranks(ranks_.size());
  on_every_rank([&](Rank& rank, int index) {
    auto& mine = of_ranks[static_cast<std::size_t>(index - world_->first())];
    mine = observe(rank);
    for (ObservedStep& step : mine) {
      step.rank = index;
      step.limits = devices_->limits(index);
    }
  });
  std::vector<ObservedStep> all;
  for (auto& mine : of_ranks) std::move(mine.begin(), mine.end(), std::back_inserter(all));
  return all;
}

template <class Report>
void LocalEngine::take_devices(std::vector<RankResult>& results, Report& run) const {
  for (RankResult& result : results) {
    run.devices.push_back(std::move(result.device));
    run.ledger.insert(run.ledger.end(), result.ledger.begin(), result.ledger.end());
  }
}

// The devices' own counters, and beside them what arena and ledger say.
DeviceReport LocalEngine::report(int index, Nanoseconds time) {
  Rank& rank = this->rank(index);
  DeviceReport device = devices_->report(index, time, rank.working());
  const Arena& arena = rank.device().arena();
  device.memory = {.capacity_bytes = arena.capacity(), .peak_bytes = arena.peak()};
  const auto found = std::find_if(device.links.begin(), device.links.end(),
                                  [&](const LinkReport& link) { return link.kind == link_; });
  if (found == device.links.end()) return device;
  LedgerEntry total;
  total.counted_tx_bytes = total.counted_rx_bytes = 0;
  for (const LedgerEntry& entry : rank.ledger().entries()) add_bytes(total, entry);
  found->predicted_tx_bytes = total.predicted_tx_bytes;
  found->predicted_rx_bytes = total.predicted_rx_bytes;
  if (!found->counted_tx_bytes) found->counted_tx_bytes = total.counted_tx_bytes;
  if (!found->counted_rx_bytes) found->counted_rx_bytes = total.counted_rx_bytes;
  return device;
}

}  // namespace batchscope
