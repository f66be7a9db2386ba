// Runs one cell (study/cell.h): the task made into requests, the plan, the engine's run, and what came of it.
#include <algorithm>
#include <cmath>
#include <exception>
#include <new>
#include <utility>

#include "base/check.h"
#include "model/model.h"
#include "plan/plan.h"
#include "study/cell.h"
#include "study/disturbance.h"

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
      missing.name = fmt::format("{}:{}", device.kind, device.numbers.at(rank));
      missing.is_virtual = device.kind == "cpu";
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
void judge_validity(const Disturbance& disturbance, CellResult& result) {
  if (result.status != CellStatus::ok && result.status != CellStatus::truncated) return;
  std::string doubts;
  const auto doubt = [&](const std::string& text) { doubts += (doubts.empty() ? "" : "; ") + text; };
  for (const DeviceReport& device : result.run->devices) {
    if (!device.memory.peak_bytes) doubt(device.name + " has no memory counter");
    for (const LinkReport& link : device.links)
      if (!link.counted_tx_bytes || !link.counted_rx_bytes)
        doubt(fmt::format("{} has no byte counter for its {} link", device.name, name_of(link.kind)));
  }
  const bool on_cpu = std::any_of(result.run->devices.begin(), result.run->devices.end(),
                                  [](const DeviceReport& device) { return device.is_virtual; });
  if (const auto others = disturbance.others_share(); on_cpu && others && *others > disturbing_share)
    doubt(fmt::format("other processes used {:.0f} % of the CPUs meanwhile", *others * 100));
  result.valid = doubts.empty();
  if (!doubts.empty()) result.reason += (result.reason.empty() ? "" : "; ") + doubts;
}

void score(Engine& engine, const CellSpec& spec, const PreparedTask& task, PhaseSink* phases, CellResult& result) {
  ScoreReport& run = *result.run;
  ScoreReport report = engine.score(task.requests.requests, spec.run, phases);
  CHECK_EQUAL(report.log_likelihoods.size(), task.requests.requests.size(), "the engine answers every request");
  report.tokens.requested = run.tokens.requested;
  report.tokens.truncated = run.tokens.truncated;
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
  result.status = run.tokens.truncated > 0 ? CellStatus::truncated : CellStatus::ok;
  if (result.status == CellStatus::truncated) result.reason = too_long(task, spec) + " and were cut";
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
  result.status = run.tokens.truncated > 0 ? CellStatus::truncated : CellStatus::ok;
  if (result.status == CellStatus::truncated) result.reason = too_long(task, spec) + " and were cut";
}

}  // namespace

std::int64_t PreparedTask::sequences() const {
  return workload ? std::ssize(workload->requests) : std::ssize(requests.requests);
}

std::filesystem::path task_file(const CellSpec& spec) {
  return spec.task.empty() ? embedded_file(embedded_questions) : std::filesystem::path(spec.task);
}

std::string task_key(const CellSpec& spec) {
  return fmt::format("{}|{}|{}|{}|{}|{}", spec.model.path, spec.model.random_shape, spec.task,
                     spec.workload ? to_json(*spec.workload).dump() : "", spec.limit.value_or(0),
                     spec.max_tokens_per_sequence.value_or(0));
}

PreparedTask prepare_task(const CellSpec& spec) {
  PreparedTask task;
  task.config = read_config(spec.model);
  spec.placement.layout.check(task.config);
  const auto tokenizer = open_tokenizer(spec.model, task.config);
  const std::int64_t made_for = spec.workload ? task.config.longest_input() : task.config.max_positions;
  task.max_tokens = std::min(made_for, spec.max_tokens_per_sequence.value_or(made_for));
  if (spec.workload) {
    const auto outlines = spec.workload->trace.empty() ? draw_requests(*spec.workload, spec.limit)
                                                       : read_trace(spec.workload->trace, spec.limit);
    task.workload = make_requests(outlines, *spec.workload, *tokenizer, task.config.vocabulary, task.max_tokens);
    return task;
  }
  task.questions = read_questions(task_file(spec), spec.limit);
  if (task.questions.empty()) throw InputError("{} has no questions", task_file(spec).string());
  task.requests = make_requests(task.questions, *tokenizer, task.max_tokens);
  return task;
}

Plan plan_cell(const CellSpec& spec, const PreparedTask& task) {
  if (task.workload) return plan_generate(task.config, spec.placement, spec.run, task.workload->requests);
  return plan_score(task.config, spec.placement, spec.run, task.requests.requests);
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

CellResult run_cell(Engine& engine, const CellSpec& spec, const PreparedTask& task, PhaseSink* phases) {
  CellResult result;
  result.run.emplace();
  result.run->tokens.requested = task.counts().requested;
  result.run->tokens.truncated = task.counts().truncated;
  if (task.counts().truncated > 0 && spec.when_too_long == WhenTooLong::fail) {
    result.run->tokens.truncated = 0;  // nothing was cut: nothing was run
    result.reason =
        too_long(task, spec) + "; nothing was run: raise the limit, or cut them with --when-too-long truncate";
    return result;
  }
  const Plan plan = plan_cell(spec, task);
  const Disturbance disturbance;
  try {
    (task.workload ? generate : score)(engine, spec, task, phases, result);
  } catch (...) {
    CellResult failure = result_of_exception();
    failure.run = std::move(result.run);
    result = std::move(failure);
  }
  // Which requests share a step, and so what is sent, follows from when they come.
  const bool is_traffic_known = !task.workload || task.workload->all_at_begin();
  add_plan(plan, spec, is_traffic_known, result.run->devices);
  judge_validity(disturbance, result);
  return result;
}

}  // namespace batchscope
