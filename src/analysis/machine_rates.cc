// A small engine that times what it does (analysis/machine_rates.h).
#include "analysis/machine_rates.h"

#include <algorithm>
#include <array>
#include <deque>
#include <numeric>

#include "base/error.h"
#include "comm/world.h"
#include "engine/rank.h"
#include "engine/team.h"

namespace batchscope {
namespace {

constexpr std::int64_t most_parameters = 40'000'000;  // drawn and written within a fifth of a second
constexpr double most_flop = 2e9;                     // of the longest sequence's way through the model
constexpr std::int64_t touched_bytes = 16 << 20;
constexpr std::size_t most_in_a_row = 48;
constexpr std::size_t least_in_a_row = 2;
constexpr std::int64_t most_new_tokens = 8;

// A rank's operations, step by step: each step has the same ones.
class StepRecorder : public LaunchObserver {
 public:
  explicit StepRecorder(Device& device) : device_(device) { device_.observe(this); }
  ~StepRecorder() override { device_.observe(nullptr); }
  StepRecorder(const StepRecorder&) = delete;
  StepRecorder& operator=(const StepRecorder&) = delete;

  // Of the steps that are told apart by `kind`.
  void begin_step(std::size_t kind) {
    take_times();
    if (kinds_.size() <= kind) kinds_.resize(kind + 1);
    now_ = &kinds_[kind];
    ++now_->steps;
    place_ = 0;
  }
  void launched(const TraceEntry& entry, Event begin, Event end) override {
    if (now_ == nullptr) return;
    if (place_ == now_->operations.size()) now_->operations.push_back({entry});
    pending_.push_back({&now_->operations, place_++, begin, end});
    if (pending_.size() >= most_pending) take_times();
  }

  // What comes later is not recorded.
  void end() {
    take_times();
    now_ = nullptr;
  }

  // Mean instants since an origin that all ranks share.
  struct Operation {
    TraceEntry entry;
    double begin_s = 0, end_s = 0;
  };
  std::vector<Operation> operations(std::size_t kind) const {
    if (kind >= kinds_.size()) return {};
    std::vector<Operation> means = kinds_[kind].operations;
    for (Operation& operation : means) {
      operation.begin_s /= static_cast<double>(kinds_[kind].steps);
      operation.end_s /= static_cast<double>(kinds_[kind].steps);
    }
    return means;
  }

 private:
  static constexpr std::size_t most_pending = 256;  // devices keep some events only
  struct Kind {
    std::vector<Operation> operations;  // sums
    std::int64_t steps = 0;
  };
  struct Pending {
    std::vector<Operation>* operations;
    std::size_t place;
    Event begin, end;
  };

  void take_times() {
    if (pending_.empty()) return;
    device_.wait(pending_.back().end);
    for (const Pending& pending : pending_) {
      Operation& operation = (*pending.operations)[pending.place];
      operation.begin_s += to_seconds(device_.time_of(pending.begin) - origin());
      operation.end_s += to_seconds(device_.time_of(pending.end) - origin());
    }
    pending_.clear();
  }
  static Nanoseconds origin() {
    static const Nanoseconds begin = monotonic_clock().now();
    return begin;
  }

  Device& device_;
  std::deque<Kind> kinds_;
  Kind* now_ = nullptr;
  std::size_t place_ = 0;
  std::vector<Pending> pending_;
};

std::vector<TimedEntry> timed_entries(const std::vector<StepRecorder::Operation>& operations) {
  std::vector<TimedEntry> entries;
  for (const auto& operation : operations) entries.push_back({operation.entry, operation.end_s - operation.begin_s});
  return without_inner_kernels(std::move(entries));
}

bool is(const TraceEntry& entry, std::string_view collective) {
  const auto* work = std::get_if<CollectiveWork>(&entry);
  return work != nullptr && work->collective == collective && work->phase == "boundary";
}

// A stage's recv lasts from the begin of the stage before's send.
void time_hops(const std::vector<StepRecorder::Operation>& sender, const std::vector<StepRecorder::Operation>& receiver,
               std::vector<TimedEntry>& timed) {
  auto sent = sender.begin();
  auto received = receiver.begin();
  for (TimedEntry& entry : timed) {
    if (!is(entry.entry, "recv")) continue;
    sent = std::find_if(sent, sender.end(), [](const auto& operation) { return is(operation.entry, "send"); });
    received = std::find_if(received, receiver.end(), [](const auto& operation) { return is(operation.entry, "recv"); });
    if (sent == sender.end() || received == receiver.end()) return;
    entry.seconds = std::max(0.0, received->end_s - sent->begin_s);
    ++sent, ++received;
  }
}

// The ranks of a layout, each in its thread, as the engine has them.
class TimedRanks {
 public:
  TimedRanks(const RateQuestion& question, const ModelConfig& config)
      : question_(question),
        config_(config),
        world_(static_cast<int>(question.placement.layout.ranks())),
        devices_(device_provider(question.placement.device.kind)
                     .open(use_of(question.placement, world_.cpu_sharers()), world_)),
        team_(world_.count()) {
    ranks_.resize(static_cast<std::size_t>(world_.count()));
    const auto weights = random_weights(config_, 0);
    on_every_rank([&](int index) {
      auto& rank = ranks_[static_cast<std::size_t>(index)];
      rank = std::make_unique<Rank>(config_, question_.placement.layout, index, question_.placement.precision(),
                                    *devices_);
      rank->load(*weights);
      touch_activations(rank->device());
    });
    devices_->prepare(question_.settings.link, std::nullopt);
  }

  TimedStep score(const std::vector<ScoreRequest>& requests, Nanoseconds budget);
  std::vector<TimedStep> generate(const std::vector<GenerateRequest>& requests);

 private:
  void on_every_rank(const std::function<void(int index)>& work) {
    team_.run(work, [&] {
      world_.abort();
      devices_->abort();
    });
  }
  // So that no step is the first to touch them.
  static void touch_activations(Device& device);
  // Wall clock of the same work on every rank, from when the last one is ready for it.
  Nanoseconds time(const std::function<void(Rank& rank, int index)>& work);
  Rank& rank(std::int64_t index) { return *ranks_[static_cast<std::size_t>(index)]; }
  std::vector<std::vector<TimedEntry>> stages(std::vector<std::unique_ptr<StepRecorder>>& recorders, std::size_t kind) const;

  const RateQuestion& question_;
  const ModelConfig& config_;
  ThreadWorld world_;
  std::unique_ptr<DeviceSet> devices_;
  Team team_;
  std::vector<std::unique_ptr<Rank>> ranks_;
};

void TimedRanks::touch_activations(Device& device) {
  const ArenaScope scope(device.arena());
  const HostBuffer zeros = device.host_buffer(touched_bytes);
  std::fill_n(zeros.data.get(), touched_bytes, std::byte{0});
  const Tensor all = device.arena().allocate("warm-up", MemoryUse::activations, DType::i32, 1, touched_bytes / 4);
  device.copy_in(zeros.data.get(), all);
  device.wait(device.record());
}

Nanoseconds TimedRanks::time(const std::function<void(Rank& rank, int index)>& work) {
  std::vector<Nanoseconds> begin(ranks_.size()), end(ranks_.size());
  on_every_rank([&](int index) {
    world_.all_ranks(index).barrier();
    begin[static_cast<std::size_t>(index)] = monotonic_clock().now();
    work(rank(index), index);
    end[static_cast<std::size_t>(index)] = monotonic_clock().now();
  });
  return *std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end());
}

std::vector<std::vector<TimedEntry>> TimedRanks::stages(std::vector<std::unique_ptr<StepRecorder>>& recorders,
                                                        std::size_t kind) const {
  const Layout& layout = question_.placement.layout;
  std::vector<std::vector<TimedEntry>> timed;
  std::vector<StepRecorder::Operation> before;
  for (std::int64_t stage = 0; stage < layout.stages(); ++stage) {
    auto operations = recorders[static_cast<std::size_t>(layout.rank({0, stage, 0}))]->operations(kind);
    timed.push_back(timed_entries(operations));
    // In a pipeline the receiver has other things to do before.
    if (stage > 0 && !layout.micro_batches()) time_hops(before, operations, timed.back());
    before = std::move(operations);
  }
  return timed;
}

// A graph's kernels cannot be told apart.
Fusion without_graph(Fusion fusion) {
  fusion.graph = false;
  return fusion;
}

TimedStep TimedRanks::score(const std::vector<ScoreRequest>& requests, Nanoseconds budget) {
  const Layout& layout = question_.placement.layout;
  RequestIndices all(requests.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  const auto parts = pipeline_batches(requests, all, layout, question_.settings.packing);
  std::vector<std::vector<double>> out(ranks_.size(), std::vector<double>(requests.size()));
  const auto run = [&](std::span<const std::vector<Batch>> batches) {
    return time([&](Rank& rank, int index) {
      rank.score(batches, question_.settings.fusion, out[static_cast<std::size_t>(index)], {});
    });
  };
  const std::vector<std::vector<Batch>> once(1, parts);
  on_every_rank([&](int index) { rank(index).prepare(once, question_.settings.fusion); });
  const Nanoseconds first = run(once);
  const auto repeats =
      std::clamp(static_cast<std::size_t>(budget / std::max(first, Nanoseconds(1))), least_in_a_row, most_in_a_row);
  const std::vector<std::vector<Batch>> many(repeats, parts);

  std::vector<std::unique_ptr<StepRecorder>> recorders(ranks_.size());
  Nanoseconds time_of_all = time([&](Rank& rank, int index) {
    auto& recorder = recorders[static_cast<std::size_t>(index)];
    recorder = std::make_unique<StepRecorder>(rank.device());
    rank.score(many, without_graph(question_.settings.fusion), out[static_cast<std::size_t>(index)],
               {.on_begin = [&](std::size_t) { recorder->begin_step(0); }});
    recorder->end();
  });
  const bool has_graphs = device_provider(question_.placement.device.kind).has_graphs();
  if (has_graphs && question_.settings.fusion.graph) time_of_all = run(many);
  TimedStep step{.stages = stages(recorders, 0),
                 .repeats = static_cast<std::int64_t>(repeats),
                 .is_pipelined = layout.micro_batches(),
                 .seconds = to_seconds(time_of_all) / static_cast<double>(repeats),
                 .first_seconds = to_seconds(first)};
  for (auto& recorder : recorders) recorder.reset();
  return step;
}

// One prefill and the decode steps behind it.
std::vector<TimedStep> TimedRanks::generate(const std::vector<GenerateRequest>& requests) {
  const Layout& layout = question_.placement.layout;
  std::vector<GenerateRequest> of_all;  // the same for each replica
  for (const GenerateRequest& request : requests) of_all.insert(of_all.end(), static_cast<std::size_t>(layout.replicas()), request);
  std::vector<std::unique_ptr<StepRecorder>> recorders(ranks_.size());
  // Of prefills and of decode steps, on the first rank: from the begin of a step to that of the next.
  const auto run = [&](bool is_recorded) {
    std::array<std::vector<Nanoseconds>, 2> spent;
    const Nanoseconds begin = monotonic_clock().now();
    time([&](Rank& rank, int index) {
      const auto served = requests_of_replica(of_all.size(), layout, rank.place().replica);
      const auto members = rank.replica_members();
      const auto self = std::find(members.begin(), members.end(), index) - members.begin();
      ListedRequests source(of_all, served, monotonic_clock(), begin);
      Admission admission(source, 0, monotonic_clock(), begin, world_.group(members, static_cast<int>(self)));
      auto& recorder = recorders[static_cast<std::size_t>(index)];
      if (is_recorded) recorder = std::make_unique<StepRecorder>(rank.device());
      const Fusion& fusion = question_.settings.fusion;
      std::optional<std::size_t> kind;  // of the step that is under way
      Nanoseconds step_begin{0};
      const auto end_step = [&] {
        const Nanoseconds now = monotonic_clock().now();
        if (kind && index == 0) spent[*kind].push_back(now - step_begin);
        step_begin = now;
      };
      const auto on_begin = [&](const GenerationStep& step, Nanoseconds) {
        end_step();
        kind = step.is_prefill ? 0 : 1;
        if (recorder) recorder->begin_step(*kind);
      };
      rank.generate(Generation(extent_of(of_all, served, std::ssize(requests)), {}), admission,
                    is_recorded ? without_graph(fusion) : fusion, {.on_begin = on_begin});
      end_step();
      if (recorder) recorder->end();
    });
    return spent;
  };
  const auto first = run(false), spent = run(false);
  run(true);
  std::vector<TimedStep> steps;
  for (std::size_t kind = 0; kind < 2; ++kind) {
    if (spent[kind].empty()) continue;
    const Nanoseconds sum = std::accumulate(spent[kind].begin(), spent[kind].end(), Nanoseconds(0));
    steps.push_back({.stages = stages(recorders, kind),
                     .seconds = to_seconds(sum) / static_cast<double>(spent[kind].size()),
                     .first_seconds = to_seconds(first[kind].front())});
  }
  for (auto& recorder : recorders) recorder.reset();
  return steps;
}

std::int64_t parameters_here(const ModelConfig& config, const Layout& layout) {
  // Shards of the first stage each hold the whole embedding.
  return (config.parameters() + (layout.shards() - 1) * config.vocabulary * config.hidden) * layout.replicas();
}

// Halved, and a multiple of `unit`.
std::int64_t halved(std::int64_t size, std::int64_t unit) { return std::max(unit, size / 2 / unit * unit); }

// Tokens of a sequence that the model gets through in the time that there is.
std::int64_t longest_sequence(const ModelConfig& config) {
  const auto products = static_cast<double>(config.parameters() - config.vocabulary * config.hidden);
  return std::max<std::int64_t>(8, static_cast<std::int64_t>(most_flop / (2 * std::max(products, 1.0))));
}

std::int32_t known_token(std::int32_t token, const ModelConfig& config) {
  return static_cast<std::int32_t>(token % config.vocabulary);
}

ScoreRequest made_to_fit(ScoreRequest request, const ModelConfig& config) {
  const auto length = std::min<std::int64_t>(std::ssize(request.tokens), longest_sequence(config) + 1);
  request.tokens.resize(static_cast<std::size_t>(length));
  request.scored = std::min(request.scored, length - 1);
  for (auto& token : request.tokens) token = known_token(token, config);
  return request;
}

GenerateRequest made_to_fit(GenerateRequest request, const ModelConfig& config) {
  const auto length = std::min<std::int64_t>(std::ssize(request.prompt), longest_sequence(config));
  request.prompt.resize(static_cast<std::size_t>(length));
  for (auto& token : request.prompt) token = known_token(token, config);
  request.new_tokens = std::min(request.new_tokens, most_new_tokens);
  request.arrival = Nanoseconds(0);
  request.stop_at_eos = false;
  return request;
}

std::int64_t length_of(const ScoreRequest& request) { return std::ssize(request.tokens) - 1; }
std::int64_t length_of(const GenerateRequest& request) { return std::ssize(request.prompt); }

// Samples from small to large, made to fit; those are left out that would take too long by what the one before took.
template <class Sample, class Measure>
void measure_ascending(const std::vector<Sample>& samples, const ModelConfig& config, Nanoseconds budget,
                       const Measure& measure) {
  std::vector<std::pair<std::int64_t, Sample>> ascending;  // by tokens
  for (const Sample& sample : samples) {
    Sample fitting;
    std::int64_t tokens = 0;
    for (const auto& request : sample.requests) {
      fitting.requests.push_back(made_to_fit(request, config));
      tokens += length_of(fitting.requests.back());
    }
    ascending.emplace_back(tokens, std::move(fitting));
  }
  std::sort(ascending.begin(), ascending.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const Nanoseconds begin = monotonic_clock().now();
  const Nanoseconds each = budget / (2 * std::ssize(ascending) + 1);  // leaves enough for few repeats of the large ones
  double seconds_per_token = 0;
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    const auto& [tokens, sample] = ascending[i];
    const Nanoseconds left = budget - (monotonic_clock().now() - begin);
    // The first time, and twice in a row.
    if (i > 0 && 3 * seconds_per_token * static_cast<double>(tokens) > to_seconds(left)) return;
    const double step = measure(sample, std::min(each, left));
    seconds_per_token = step / static_cast<double>(tokens);
  }
}

}  // namespace

ModelConfig shrunk(ModelConfig config, const Layout& layout, std::int64_t most_parameters) {
  const auto is_large = [&] { return parameters_here(config, layout) > most_parameters; };
  while (is_large() && config.layers > layout.stages())
    config.layers = std::max(layout.stages(), config.layers / 2);
  if (!config.windows.empty()) config.windows.resize(static_cast<std::size_t>(config.layers));
  const std::int64_t shards = layout.shards();
  while (is_large() && config.vocabulary > 32 * shards) config.vocabulary = halved(config.vocabulary, 32 * shards);
  while (is_large() && config.intermediate > 32 * shards) config.intermediate = halved(config.intermediate, 32 * shards);
  // Groups of heads stay as they are.
  const std::int64_t group = config.heads / config.kv_heads;
  while (is_large() && config.kv_heads > shards) {
    config.kv_heads = halved(config.kv_heads, shards);
    config.heads = config.kv_heads * group;
  }
  return config;
}

std::vector<TimedStep> MeasuredRates::measure(const RateQuestion& question) {
  std::vector<TimedStep> steps;
  try {
    const Placement& placement = question.placement;
    device_provider(placement.device.kind).check(use_of(placement), placement.precision());
    const ModelConfig config = shrunk(question.config, placement.layout, most_parameters);
    TimedRanks ranks(question, config);
    measure_ascending(question.scored, config, budget_, [&](const ScoreSample& sample, Nanoseconds budget) {
      steps.push_back(ranks.score(sample.requests, budget));
      return steps.back().seconds;
    });
    measure_ascending(question.generated, config, budget_, [&](const GenerateSample& sample, Nanoseconds) {
      const auto timed = ranks.generate(sample.requests);
      steps.insert(steps.end(), timed.begin(), timed.end());
      return timed.front().seconds;
    });
  } catch (const Error&) {
    return {};  // no such devices here, or not enough memory: nothing is known of their times
  }
  return steps;
}

}  // namespace batchscope
