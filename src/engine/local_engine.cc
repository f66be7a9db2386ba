// Loading and running on virtual devices.
#include "engine/local_engine.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "device/cpu/cpu_device.h"
#include "engine/step_phases.h"
#include "ops/cpu_kernels.h"

namespace batchscope {
namespace {

void check_placement(const Placement& placement, const ModelConfig& config) {
  if (placement.device.kind != "cpu")
    throw InputError("--device {}: this build has no engine for {} devices; use cpu:N", to_string(placement.device),
                     placement.device.kind);
  if (placement.dtype != DType::f32 && placement.dtype != DType::bf16)
    throw InputError("--dtype {}: cpu devices compute f32 and bf16", name_of(placement.dtype));
  if (placement.dtype == DType::bf16 && !__builtin_cpu_supports("avx512bw"))
    throw InputError("--dtype bf16: this CPU has no AVX-512, which bf16 needs; use f32");
  check(placement);
  placement.layout.check(config);
}

std::size_t sequences(const std::vector<Batch>& parts) {
  std::size_t count = 0;
  for (const Batch& part : parts) count += part.scored.size();
  return count;
}

// A batch as phases name it.
std::string batch_detail(std::size_t index, std::size_t sequences) {
  return fmt::format("batch {}, {} sequences", index, sequences);
}

// One replica's part of a generation.
struct ReplicaGeneration {
  RequestIndices served;
  Generation start;  // each rank goes on from a copy
  std::unique_ptr<Admission> admission = {};
  // Of the rank that holds the results:
  std::vector<Nanoseconds> step_times = {};
  std::int64_t computed = 0;  // tokens
};

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

}  // namespace

std::unique_ptr<Engine> make_engine(std::string_view name) {
  if (name == "batchscope") return std::make_unique<LocalEngine>();
  throw InputError("--engine: '{}' is not known; use batchscope", name);
}

std::string LocalEngine::describe() const { return "batchscope"; }

Capabilities LocalEngine::capabilities() const {
  return {.layouts = {"mp", "pp", "tp", "dp"},
          .fusions = {"qkv", "swiglu", "norm", "attention", "comm"},
          .packings = {"padded", "packed", "prefix"},
          .dtypes = {"f32", "bf16"}};
}

Nanoseconds LocalEngine::load(const ModelSource& model, const Placement& placement) {
  const Nanoseconds begin = monotonic_clock().now();
  config_ = read_config(model);
  check_placement(placement, config_);
  placement_ = placement;
  team_.reset();
  ranks_.clear();
  const auto count = static_cast<int>(placement.layout.ranks());
  page_ = std::make_unique<VirtualDevicePage>(count);
  std::vector<VirtualDeviceCounters*> counters;
  for (int i = 0; i < count; ++i) counters.push_back(&page_->device(i));
  fabric_ = std::make_unique<Fabric>(counters, monotonic_clock());
  ranks_.resize(static_cast<std::size_t>(count));
  team_ = std::make_unique<Team>(count);
  const auto weights = open_weights(model, config_);
  team_->run([&](int index) { build_rank(index, *weights); }, [&] { fabric_->abort(); });
  return monotonic_clock().now() - begin;
}

void LocalEngine::build_rank(int index, const WeightSource& weights) {
  RankState& state = ranks_[static_cast<std::size_t>(index)];
  VirtualDeviceCounters& counters = page_->device(index);
  counters.thread_id = static_cast<std::int32_t>(syscall(SYS_gettid));
  const PhaseScope phase(nullptr, "load", {}, placement_.layout.to_string(), &page_->phase(index));
  state.memory = std::make_unique<HostPages>();
  auto device =
      std::make_unique<CpuDevice>(fmt::format("cpu:{}", placement_.device.numbers[static_cast<std::size_t>(index)]),
                                  *state.memory, cpu_kernels(), threads_of(placement_));
  device->arena().publish(&counters.memory_used_bytes);
  state.rank =
      std::make_unique<Rank>(config_, placement_.layout, index, placement_.dtype, std::move(device), fabric_.get());
  state.rank->load(weights);
}

void LocalEngine::on_every_rank(const std::function<void(RankState&)>& work) {
  team_->run([&](int index) { work(ranks_[static_cast<std::size_t>(index)]); }, [&] { fabric_->abort(); });
}

void LocalEngine::prepare(const RunSettings& settings) {
  if (settings.link.kind)
    throw InputError("--link {}: cpu devices have virtual links; give a pace such as 12GB/s,5us",
                     to_string(settings.link));
  if (settings.fusion.graph)
    spdlog::warn("--fusion graph: cpu devices have no graphs to replay; it changes nothing here");
  fabric_->reset();
  fabric_->set_link(settings.link);
  for (std::size_t index = 0; index < ranks_.size(); ++index) {
    Arena& arena = ranks_[index].rank->device().arena();
    arena.limit(std::nullopt);
    arena.limit(settings.device_memory_bytes);
    arena.reset_peak();
    page_->device(static_cast<int>(index)).memory_capacity_bytes = settings.device_memory_bytes.value_or(0);
  }
}

CurrentPhase& LocalEngine::current_phase(const RankState& state) {
  return page_->phase(static_cast<int>(&state - ranks_.data()));
}

void LocalEngine::begin_measuring(RankState& state) {
  const auto index = static_cast<int>(&state - ranks_.data());
  state.rank->ledger().clear();
  state.rank->communication_time() = {};
  state.before = {thread_cpu_time(), page_->device(index).link_tx_bytes, page_->device(index).link_rx_bytes};
}

ScoreReport LocalEngine::score(std::span<const ScoreRequest> requests, const RunSettings& settings, PhaseSink* phases) {
  prepare(settings);
  ScoreReport run;
  run.log_likelihoods.resize(requests.size());
  const auto replicas = static_cast<std::size_t>(placement_.layout.replicas());
  // Of each replica, made once and read by all its ranks.
  std::vector<std::vector<std::vector<Batch>>> batches(replicas);
  for (std::size_t replica = 0; replica < replicas; ++replica) {
    const auto formed = batches_of_replica(requests, settings, placement_.layout, static_cast<std::int64_t>(replica));
    run.batches += std::ssize(formed);
    for (const auto& batch : formed) {
      batches[replica].push_back(pipeline_batches(requests, batch, placement_.layout, settings.packing));
      count_tokens(batches[replica].back(), run.tokens);
    }
  }
  for (const auto& request : requests) run.tokens.requested += std::ssize(request.tokens) - 1;

  on_every_rank([&](RankState& state) {
    const auto& mine = batches[static_cast<std::size_t>(state.rank->place().replica)];
    const PhaseScope phase(phases, "warm-up", state.rank->device().name(), {}, &current_phase(state));
    if (!mine.empty()) state.rank->score(mine.front(), settings.fusion, run.log_likelihoods);
  });
  // Of each replica's batch: when the first stage took it, and when the last stage had done with it.
  std::vector<std::vector<Nanoseconds>> started(replicas), ended(replicas);
  on_every_rank([&](RankState& state) { begin_measuring(state); });
  const Nanoseconds begin = monotonic_clock().now();
  on_every_rank([&](RankState& state) {
    const auto replica = static_cast<std::size_t>(state.rank->place().replica);
    const bool starts = state.rank->place().stage == 0 && state.rank->place().shard == 0;
    for (std::size_t index = 0; index < batches[replica].size(); ++index) {
      const auto& batch = batches[replica][index];
      if (starts) started[replica].push_back(monotonic_clock().now());
      const PhaseScope phase(phases, "batch", state.rank->device().name(), batch_detail(index, sequences(batch)),
                             &current_phase(state));
      state.rank->score(batch, settings.fusion, run.log_likelihoods);
      if (state.rank->holds_results()) ended[replica].push_back(monotonic_clock().now());
    }
    state.cpu = thread_cpu_time() - state.before.cpu;
  });
  run.time = monotonic_clock().now() - begin;
  for (std::size_t replica = 0; replica < replicas; ++replica)
    for (std::size_t index = 0; index < ended[replica].size(); ++index)
      run.batch_times.push_back(ended[replica][index] - started[replica][index]);
  run.ledger = all_ledger_entries();
  run.devices = report_devices(run.time);
  return run;
}

GenerateReport LocalEngine::generate(std::span<const GenerateRequest> requests, const RunSettings& settings,
                                     PhaseSink* phases, const TokenSink& on_token) {
  for (const auto& request : requests) {
    if (request.prompt.empty()) throw InputError("a prompt has no token; give some text");
    if (request.new_tokens < 1)
      throw InputError("a request asks for {} new tokens; 1 is the least", request.new_tokens);
  }
  prepare(settings);
  std::vector<ReplicaGeneration> replicas;
  for (std::int64_t replica = 0; replica < placement_.layout.replicas(); ++replica) {
    const RequestIndices served = requests_of_replica(requests.size(), placement_.layout, replica);
    replicas.push_back({served, Generation(requests, served, settings.batch, config_.eos_tokens)});
  }
  const auto replica_of = [&](RankState& state) -> ReplicaGeneration& {
    return replicas[static_cast<std::size_t>(state.rank->place().replica)];
  };
  on_every_rank([&](RankState& state) {
    const PhaseScope phase(phases, "warm-up", state.rank->device().name(), {}, &current_phase(state));
    state.rank->warm_up(replica_of(state).start, settings.fusion);
  });

  GenerateReport run;
  run.sequences.resize(requests.size());
  std::mutex sink_mutex;
  on_every_rank([&](RankState& state) { begin_measuring(state); });
  const Nanoseconds begin = clock_.now();
  for (auto& replica : replicas)
    replica.admission = std::make_unique<Admission>(requests, replica.served, clock_, begin);
  on_every_rank([&](RankState& state) {
    ReplicaGeneration& replica = replica_of(state);
    StepPhases step_phases(phases, state.rank->device().name(), current_phase(state));
    const auto on_begin = [&](const GenerationStep& step, Nanoseconds step_begin) {
      step_phases.begin(step, begin + step_begin);
    };
    const auto on_end = [&](const GenerationStep& step, std::span<const std::int32_t> tokens, Nanoseconds step_begin,
                            bool is_active) {
      const Nanoseconds now = clock_.now() - begin;
      step_phases.end(step, begin + step_begin, begin + now);
      if (!is_active) step_phases.pause();
      if (!state.rank->holds_results()) return;
      replica.step_times.push_back(now - step_begin);
      replica.computed += step.batch.rows();
      append_tokens(step, tokens, step_begin, now, run.sequences);
      if (!on_token) return;
      const std::lock_guard lock(sink_mutex);
      for (std::size_t i = 0; i < tokens.size(); ++i) on_token(step.requests[i], tokens[i]);
    };
    state.rank->generate(replica.start, *replica.admission, settings.fusion, {on_begin, on_end});
    state.cpu = thread_cpu_time() - state.before.cpu;
  });
  run.time = clock_.now() - begin;
  for (const auto& replica : replicas) {
    run.step_times.insert(run.step_times.end(), replica.step_times.begin(), replica.step_times.end());
    run.tokens.computed += replica.computed;
  }
  run.steps = std::ssize(run.step_times);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    run.sequences[i].arrival = requests[i].arrival;
    run.tokens.requested += std::ssize(requests[i].prompt) + std::ssize(run.sequences[i].tokens) - 1;
  }
  run.ledger = all_ledger_entries();
  run.devices = report_devices(run.time);
  return run;
}

std::vector<LedgerEntry> LocalEngine::all_ledger_entries() const {
  std::vector<LedgerEntry> entries;
  for (const auto& state : ranks_)
    for (const auto& entry : state.rank->ledger().entries()) entries.push_back(entry);
  return entries;
}

std::vector<DeviceReport> LocalEngine::report_devices(Nanoseconds time) {
  std::vector<DeviceReport> devices;
  for (auto& state : ranks_) devices.push_back(report(state, time));
  return devices;
}

DeviceReport LocalEngine::report(RankState& state, Nanoseconds time) {
  const auto& counters = page_->device(static_cast<int>(&state - ranks_.data()));
  Rank& rank = *state.rank;
  DeviceReport device{.name = rank.device().name(), .threads = threads_of(placement_)};
  device.memory = {.capacity_bytes = rank.device().arena().capacity(), .peak_bytes = rank.device().arena().peak()};
  LinkReport link{.predicted_tx_bytes = 0, .predicted_rx_bytes = 0, .counted_tx_bytes = 0, .counted_rx_bytes = 0};
  for (const auto& entry : rank.ledger().entries()) {
    *link.predicted_tx_bytes += entry.predicted_tx_bytes;
    *link.predicted_rx_bytes += entry.predicted_rx_bytes;
    *link.counted_tx_bytes += entry.counted_tx_bytes;
    *link.counted_rx_bytes += entry.counted_rx_bytes;
  }
  link.link_tx_bytes = counters.link_tx_bytes - state.before.tx_bytes;
  link.link_rx_bytes = counters.link_rx_bytes - state.before.rx_bytes;
  device.links.push_back(link);
  if (time > Nanoseconds(0)) {
    const auto& spent = rank.communication_time();
    const auto share = [&](Nanoseconds part) { return std::clamp(to_seconds(part) / to_seconds(time), 0.0, 1.0); };
    DeviceReport::Busy busy{.compute = share(state.cpu - spent.communicate_cpu),
                            .communicate = share(spent.communicate)};
    busy.communicate = std::min(busy.communicate, 1.0 - busy.compute);
    busy.idle = 1.0 - busy.compute - busy.communicate;
    device.busy = busy;
  }
  return device;
}

}  // namespace batchscope
