// Runs one cell (study/cell.h): the task made into requests, the plan, the engine's run, and what came of it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>
#include <new>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "comm/world.h"
#include "engine/rank.h"
#include "model/model.h"
#include "plan/plan.h"
#include "study/axes.h"
#include "study/cell.h"
#include "study/disturbance.h"
#include "task/sample.h"

namespace batchscope {
namespace {

constexpr const char* embedded_questions = "models/tiny/questions.jsonl";
constexpr double disturbing_share = 0.1;  // of the CPUs' time; a sampler and the system's own work stay well below

// Before any truncation: a choice's model input, or a prompt and its output.
std::vector<std::int64_t> sequence_lengths(const PreparedTask& task) {
  std::vector<std::int64_t> all;
  for (const auto& lengths : task.requests.tokens)
    for (std::size_t choice = 1; choice < lengths.size(); ++choice) all.push_back(lengths[choice] - 1);
  if (task.workload)
    for (std::size_t i = 0; i < task.workload->requests.size(); ++i)
      all.push_back(task.workload->prompt_tokens[i] + task.workload->requests[i].new_tokens);
  return all;
}

// Sequences longer than the limit, and the tokens that a limit would cost.
std::string too_long(const PreparedTask& task, const CellSpec& spec) {
  std::int64_t sequences = 0, longest = 0;
  for (const std::int64_t length : sequence_lengths(task)) {
    sequences += length > task.max_tokens ? 1 : 0;
    longest = std::max(longest, length);
  }
  const bool by_user = spec.max_tokens_per_sequence && *spec.max_tokens_per_sequence == task.max_tokens;
  return fmt::format(
      "{} of {} sequences are longer than the {} tokens that {}; the longest has {}; {} of {} "
      "tokens are too many",
      sequences, task.sequences(), task.max_tokens,
      by_user ? "--max-tokens-per-sequence allows" : "the model was made for", longest, task.counts().truncated,
      task.counts().requested);
}

// The plan's figures beside the engine's own. A device that the engine did not report is added with what is planned.
// Without `traffic`, links keep what the engine's ledger predicts.
void add_plan(const Plan& plan, const CellSpec& spec, bool traffic, std::vector<DeviceReport>& devices) {
  for (std::size_t rank = 0; rank < plan.devices.size(); ++rank) {
    const DevicePlan& planned = plan.devices[rank];
    if (rank >= devices.size()) {
      const DeviceSpec& device = spec.placement.device;
      DeviceReport missing;
      missing.name = device.name(static_cast<int>(rank));
      missing.is_virtual = device_provider(device.kind).is_virtual();
      missing.memory.capacity_bytes = spec.run.device_memory_bytes;
      devices.push_back(std::move(missing));
    }
    DeviceReport& device = devices[rank];
    device.memory.planned_bytes = planned.total_bytes;
    if (!traffic) continue;
    auto link = std::find_if(device.links.begin(), device.links.end(),
                             [&](const LinkReport& report) { return report.kind == planned.link; });
    if (link == device.links.end()) {
      if (planned.tx_bytes == 0 && planned.rx_bytes == 0) continue;  // a device alone has no link to speak of
      device.links.emplace_back().kind = planned.link;
      link = device.links.end() - 1;
    }
    link->predicted_tx_bytes = planned.tx_bytes;
    link->predicted_rx_bytes = planned.rx_bytes;
  }
}

// What the run's own counters, and the CPU's, say about trusting it.
// An engine that does not tell of its devices leaves what happened on GPUs unknown.
void judge_validity(const Disturbance& disturbance, bool on_cpu, bool tells_counters, CellResult& result) {
  if (!has_scores(to_string(result.status))) return;
  std::string doubts;
  const auto doubt = [&](const std::string& text) { doubts += (doubts.empty() ? "" : "; ") + text; };
  for (const std::string& seen : result.run->doubts) doubt(seen);
  for (const DeviceReport& device : tells_counters ? result.run->devices : std::vector<DeviceReport>()) {
    if (!device.memory.peak_bytes) doubt(device.name + " has no memory counter");
    for (const LinkReport& link : device.links)
      if (!link.counted_tx_bytes || !link.counted_rx_bytes)
        doubt(fmt::format("{} has no byte counter for its {} link", device.name, name_of(link.kind)));
  }
  if (const auto others = disturbance.others_share(); on_cpu && others && *others > disturbing_share)
    doubt(fmt::format("other processes used {:.0f} % of the CPUs meanwhile", *others * 100));
  if (tells_counters || on_cpu || !doubts.empty()) result.valid = doubts.empty();
  if (!doubts.empty()) result.reason += (result.reason.empty() ? "" : "; ") + doubts;
}

// Of what ran to its end: whether anything was cut, by us or by the engine.
void settle_status(const CellSpec& spec, const PreparedTask& task, CellResult& result) {
  const std::int64_t truncated = result.run->tokens.truncated.value_or(0);
  result.status = truncated > 0 ? CellStatus::truncated : CellStatus::ok;
  if (truncated == 0) return;
  result.reason = task.is_tokenised() ? too_long(task, spec) + " and were cut"
                                      : fmt::format("the engine says that it cut {} tokens", truncated);
}

std::vector<std::int64_t> tokens_of_batches(std::span<const ScoreRequest> requests, const CellSpec& spec) {
  const Layout& layout = spec.placement.layout;
  std::vector<std::int64_t> tokens;
  for (std::int64_t replica = 0; replica < layout.replicas(); ++replica)
    for (const RequestIndices& batch : batches_of_replica(requests, spec.run, layout, replica)) {
      std::int64_t& rows = tokens.emplace_back(0);
      for (const Batch& part : pipeline_batches(requests, batch, layout, spec.run.packing)) rows += part.rows();
    }
  return tokens;
}

// Absent where the engine did not tell of its batches, or formed others.
std::optional<WholeTask> whole_task(const CellSpec& spec, const PreparedTask& task, const ScoreReport& run) {
  const std::vector<std::int64_t> tokens = tokens_of_batches(task.requests.requests, spec);
  if (tokens.empty() || tokens.size() != run.batch_times.size()) return std::nullopt;
  std::vector<SampledBatch> batches;
  for (std::size_t i = 0; i < tokens.size(); ++i) batches.push_back({tokens[i], run.batch_times[i]});
  const std::vector<std::int64_t> of_whole = tokens_of_batches(task.whole->requests, spec);
  return WholeTask{task.whole->items, whole_time(to_seconds(run.time), batches, std::ssize(of_whole),
                                                 std::accumulate(of_whole.begin(), of_whole.end(), std::int64_t{0}))};
}

void score(Engine& engine, const CellSpec& spec, const PreparedTask& task, PhaseSink* phases, CellResult& result) {
  ScoreReport& run = *result.run;
  ScoreReport report = engine.score(task.requests.requests, spec.run, phases);
  CHECK_EQUAL(report.log_likelihoods.size(), task.requests.requests.size(), "the engine answers every request");
  if (task.is_tokenised()) {
    report.tokens.requested = run.tokens.requested;
    report.tokens.truncated = run.tokens.truncated;
  }
  run = std::move(report);

  const auto bad = std::find_if_not(run.log_likelihoods.begin(), run.log_likelihoods.end(),
                                    [](double value) { return std::isfinite(value); });
  result.items = score_items(task.questions, task.requests, run.log_likelihoods);
  if (bad != run.log_likelihoods.end()) {
    result.reason = fmt::format("the log-likelihood of request {} is {}; the weights or the arithmetic overflow",
                                bad - run.log_likelihoods.begin(), *bad);
    return;
  }
  result.scores = summarize(result.items);
  settle_status(spec, task, result);
  if (task.whole && !task.whole->requests.empty()) result.whole = whole_task(spec, task, run);
}

// Steps take the place of batches.
void generate(Engine& engine, const CellSpec& spec, const PreparedTask& task, PhaseSink* phases, CellResult& result) {
  ScoreReport& run = *result.run;
  GenerateReport report = engine.generate(task.workload->requests, spec.run, phases, {});
  result.requests = request_results(*task.workload, report.sequences);
  run.tokens.computed = report.tokens.computed;
  run.tokens.padding = report.tokens.padding;
  run.batches = report.steps;
  run.batch_times = std::move(report.step_times);
  run.time = report.time;
  run.devices = std::move(report.devices);
  run.ledger = std::move(report.ledger);
  run.observed = std::move(report.observed);
  run.served = std::move(report.served);
  run.doubts = std::move(report.doubts);
  settle_status(spec, task, result);
}

// In a process without rank 0: its part of the work, of which rank 0 knows everything.
CellResult follow(Engine& engine, const CellSpec& spec, const PreparedTask& task) {
  try {
    if (task.workload)
      engine.generate(task.workload->requests, spec.run, nullptr, {});
    else
      engine.score(task.requests.requests, spec.run, nullptr);
  } catch (...) {
    return result_of_exception();
  }
  return {};
}

}  // namespace

std::int64_t PreparedTask::sequences() const {
  return workload ? std::ssize(workload->requests) : std::ssize(requests.requests);
}

std::filesystem::path task_file(const CellSpec& spec) {
  return spec.task.empty() ? embedded_file(embedded_questions) : std::filesystem::path(spec.task);
}

std::string task_key(const CellSpec& spec) {
  std::string key = spec.engine.is_ours() ? "ours|" : spec.engine.is_server() ? "server's|" : "theirs|";  // who tokenises
  for (const Axis& axis : axes())
    if (axis.group == AxisGroup::model || axis.group == AxisGroup::task) key += axis.text(spec) + "|";
  if (spec.workload && spec.workload->requests == Workload::one_batch)
    key += fmt::format("{}", spec.run.batch * spec.placement.layout.replicas());
  return key;
}

void check_layout(const CellSpec& spec, const PreparedTask& task) {
  if (task.config) spec.placement.layout.check(*task.config);
}

static std::vector<Question> read_task(const CellSpec& spec) {
  const auto limit = spec.sample ? std::nullopt : spec.limit;  // of a sample it takes the first
  std::vector<Question> questions = read_questions(task_file(spec), limit);
  if (questions.empty()) throw InputError("{} has no questions", task_file(spec).string());
  return questions;
}

static std::vector<RequestOutline> outlines_of(const CellSpec& spec) {
  if (!spec.workload->trace.empty()) return read_trace(*spec.workload, spec.limit);
  Workload workload = *spec.workload;
  if (workload.requests == Workload::one_batch) workload.requests = spec.run.batch * spec.placement.layout.replicas();
  return draw_requests(workload, spec.limit);
}

// Of the model that the server has, where its files are here. Else prompts are drawn from the ids of the embedded one,
// which larger vocabularies have, too, and the server alone knows what is too long.
static PreparedTask prepare_served_workload(const CellSpec& spec) {
  PreparedTask task;
  const bool is_here = !spec.model.path.empty() && std::filesystem::exists(spec.model.path);
  const ModelSource model = is_here ? spec.model : ModelSource();
  const ModelConfig config = read_config(model);
  const auto outlines = outlines_of(spec);
  if (!is_here && std::any_of(outlines.begin(), outlines.end(),
                              [](const RequestOutline& outline) { return outline.prompt || outline.output; }))
    throw InputError(
        "--trace {}: it has texts, and only the model's tokenizer makes tokens of them; name the folder of the server's "
        "model with --model",
        spec.workload->trace);
  task.max_tokens = is_here ? config.longest_input() : std::int64_t{1} << 30;
  task.workload = make_requests(outlines, *spec.workload, *open_tokenizer(model, config), config.vocabulary,
                                task.max_tokens);
  return task;
}

// Makes requests of the task's questions, or of the sample that the cell takes of them.
static void make_task_requests(const CellSpec& spec, PreparedTask& task,
                               const std::function<TaskRequests(std::span<const Question>)>& make) {
  task.requests = make(task.questions);
  if (!spec.sample) return;
  std::vector<std::size_t> chosen = sample_by_length(task.questions, *spec.sample, spec.sample_seed);
  if (spec.limit && *spec.limit < std::ssize(chosen)) chosen.resize(static_cast<std::size_t>(*spec.limit));
  if (chosen.size() == task.questions.size()) return;
  task.whole.emplace().items = std::ssize(task.questions);
  if (task.requests.is_tokenised) task.whole->requests = std::move(task.requests.requests);
  std::vector<Question> sample;
  for (const std::size_t index : chosen) sample.push_back(std::move(task.questions[index]));
  task.questions = std::move(sample);
  task.requests = make(task.questions);
}

PreparedTask prepare_task(const CellSpec& spec) {
  PreparedTask task;
  if (spec.engine.is_server() && spec.workload) return prepare_served_workload(spec);
  if (!spec.engine.is_ours()) {  // its model is its own business; so are its tokens, unless it is a server of this model
    task.questions = read_task(spec);
    if (!spec.engine.is_server() || spec.model.path.empty() || !std::filesystem::exists(spec.model.path)) {
      make_task_requests(spec, task, make_text_requests);
      return task;
    }
    const ModelConfig config = read_config(spec.model);
    task.max_tokens = config.max_positions;
    const auto tokenizer = open_tokenizer(spec.model, config);
    make_task_requests(spec, task,
                       [&](auto questions) { return make_requests(questions, *tokenizer, task.max_tokens); });
    return task;
  }
  const ModelConfig& config = task.config.emplace(read_config(spec.model));
  check_layout(spec, task);
  const auto tokenizer = open_tokenizer(spec.model, config);
  const std::int64_t made_for = spec.workload ? config.longest_input() : config.max_positions;
  task.max_tokens = std::min(made_for, spec.max_tokens_per_sequence.value_or(made_for));
  if (spec.workload) {
    task.workload = make_requests(outlines_of(spec), *spec.workload, *tokenizer, config.vocabulary, task.max_tokens);
    return task;
  }
  task.questions = read_task(spec);
  make_task_requests(spec, task, [&](auto questions) { return make_requests(questions, *tokenizer, task.max_tokens); });
  return task;
}

Plan plan_cell(const CellSpec& spec, const PreparedTask& task, const BatchSink& on_batch) {
  if (!task.config)
    throw InputError("--engine {}: only batchscope's own engine can be planned", label(spec.engine));
  if (task.workload) return plan_generate(*task.config, spec.placement, spec.run, task.workload->requests);
  return plan_score(*task.config, spec.placement, spec.run, task.requests.requests, on_batch);
}

CellResult result_of_exception() {
  CellResult result;
  try {
    throw;
  } catch (const InputError&) {
    throw;
  } catch (const Interrupted&) {
    throw;
  } catch (const OutOfMemory& error) {
    result.status = CellStatus::out_of_memory;
    result.reason = error.what();
  } catch (const TimedOut& error) {
    result.status = CellStatus::timed_out;
    result.reason = error.what();
  } catch (const std::bad_alloc&) {
    result.status = CellStatus::out_of_memory;
    result.reason = "the host is out of memory";
  } catch (const std::exception& error) {
    result.reason = error.what();
  }
  return result;
}

CellSpec placed(CellSpec spec, const World* world) {
  if (world != nullptr) spec.placement.threads = threads_of(use_of(spec.placement, world->cpu_sharers()));
  return spec;
}

CellResult run_cell(Engine& engine, const CellSpec& spec, const PreparedTask& task, PhaseSink* phases,
                    const World* world) {
  CellResult result;
  result.run.emplace();
  if (task.is_tokenised()) {
    result.run->tokens.requested = task.counts().requested;
    result.run->tokens.truncated = task.counts().truncated;
  }
  if (task.counts().truncated > 0 && spec.when_too_long == WhenTooLong::fail) {
    result.run->tokens.truncated = 0;  // nothing was cut: nothing was run
    result.reason =
        too_long(task, spec) + "; nothing was run: raise the limit, or cut them with --when-too-long truncate";
    return result;
  }
  if (world != nullptr && world->first() > 0) return follow(engine, spec, task);
  const std::optional<Plan> plan = task.config ? std::optional(plan_cell(spec, task)) : std::nullopt;
  std::vector<pid_t> beside = engine.processes();
  if (world != nullptr) beside = world->beside();
  const Disturbance disturbance(std::move(beside));
  try {
    (task.workload ? generate : score)(engine, spec, task, phases, result);
  } catch (...) {
    CellResult failure = result_of_exception();
    failure.run = std::move(result.run);
    result = std::move(failure);
  }
  // Which requests share a step, and so what is sent, follows from when they come.
  const bool is_traffic_known = !task.workload || task.workload->all_at_begin();
  if (plan) add_plan(*plan, spec, is_traffic_known, result.run->devices);
  // A server's CPUs may be another machine's, and on this one it is itself what else runs.
  const bool on_cpu = spec.placement.device.kind == "cpu" && !spec.engine.is_server();
  judge_validity(disturbance, on_cpu, plan.has_value(), result);
  result.engine = engine.describe();
  return result;
}

}  // namespace batchscope
