// Runs the cells of a study in order, repeats and resumes them, and keeps their results.
#include "study/study_runner.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "plan/plan.h"

namespace batchscope {
namespace {

bool is_finished(const std::string& status) { return status != "running" && status != "interrupted"; }

}  // namespace

CellRecords WorkerRunner::run(const CellSpec& spec, const SentinelReference* reference) {
  if (!worker_ || !worker_->alive() || worker_key_ != spec.worker_key()) {
    worker_.reset();
    worker_ = launcher_ ? std::make_unique<WorkerProcess>(launcher_->worker(spec.placement.layout.ranks()),
                                                          WorkerProcess::End::terminate)
                        : std::make_unique<WorkerProcess>(main_);
    worker_key_ = spec.worker_key();
  }
  return worker_->run(spec, time_out_, stop_, reference, on_warm_);
}

const PreparedTask& TaskPlanner::prepared(const CellSpec& spec) {
  const std::string key = task_key(spec);
  const auto found = tasks_.find(key);
  return found != tasks_.end() ? found->second : tasks_.emplace(key, prepare_task(spec)).first->second;
}

void TaskPlanner::check(const StudySpec& study) {
  for (const CellSpec& cell : study.cells) {
    const CellSpec spec = resolved(cell, study.folder);
    check_layout(spec, prepared(spec));
  }
}

FrontierPlanner::Answer TaskPlanner::largest(const CellSpec& spec) {
  const PreparedTask& task = prepared(spec);
  const auto plan_of = [&](std::int64_t batch) {
    CellSpec of_batch = spec;
    of_batch.run.batch = batch;
    return plan_cell(of_batch, task);
  };
  return {.sequences = task.sequences(),
          .largest = largest_batch(task.sequences(), spec.run.device_memory_bytes.value(), plan_of)};
}

StudyRunner::StudyRunner(const StudySpec& study, StoreWriter& store, std::int64_t session, CellRunner& runner,
                         FrontierPlanner& planner, Progress& progress, const Clock& clock, AddCounters add_counters)
    : study_(study),
      store_(store),
      session_(session),
      runner_(runner),
      planner_(planner),
      progress_(progress),
      clock_(clock),
      add_counters_(std::move(add_counters)) {
  const std::string meaning = to_json(study_).dump();
  for (const StudyRecord& other : store_.reader().studies()) {
    if (other.name != study_.name)
      throw InputError("{} holds the study '{}', not '{}'; give another file with -o", store_.path().string(),
                       other.name, study_.name);
    if (other.spec_json != meaning)
      throw InputError(
          "{} was started with other settings of the study '{}'; restore them, or give another file with -o",
          store_.path().string(), study_.name);
  }
  study_id_ = store_.add_study(study_.name, meaning);
  register_cells();
}

void StudyRunner::register_cells() {
  order_ = run_order(study_.cells, study_.repeats, study_.seed);
  put_reference_first();
  std::vector<CellRecord> records;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const CellSpec& spec = study_.cells[order_[i].cell];
    const auto position = (order_[i].repeat - 1) * static_cast<std::int64_t>(study_.cells.size());
    records.push_back({.key = cell_key(spec, order_[i].repeat),
                       .spec_json = stored_cell(spec, order_[i].repeat).dump(),
                       .position = position + static_cast<std::int64_t>(order_[i].cell),
                       .run_order = static_cast<std::int64_t>(i)});
  }
  ids_ = store_.add_cells(study_id_, records);
  for (const AttemptRecord& attempt : store_.reader().attempts())
    if (is_finished(attempt.status)) finished_[attempt.cell] = attempt.status;
  for (const CellSpec& spec : study_.cells) {
    const std::string name = strategy_name(spec);
    if (strategies_.try_emplace(name, Strategy{spec, {}}).second) strategy_order_.push_back(name);
  }
}

void StudyRunner::retry_failed() {
  store_.interrupt_failed_attempts();
  std::erase_if(finished_, [](const auto& cell) { return cell.second == "failed" || cell.second == "timed_out"; });
}

// The others' first answers are compared with its own. The cells that share its worker come next: no model is loaded
// once more for it.
void StudyRunner::put_reference_first() {
  const std::string worker = study_.cells[study_.reference].worker_key();
  const auto end =
      std::find_if(order_.begin(), order_.end(), [](const PlannedRun& run) { return run.repeat != 1; });
  std::stable_partition(order_.begin(), end, [&](const PlannedRun& run) {
    return study_.cells[run.cell].worker_key() == worker;
  });
  const auto found =
      std::find_if(order_.begin(), end, [&](const PlannedRun& run) { return run.cell == study_.reference; });
  if (found != end) std::rotate(order_.begin(), found, found + 1);
}

void StudyRunner::take_reference(std::int64_t cell) {
  if (reference_) return;
  const CellSpec& spec = study_.cells[study_.reference];
  const StoreReader reader = store_.reader();
  for (const AttemptRecord& attempt : reader.attempts(cell))
    if (const auto items = reader.items(attempt.id); attempt.status == "ok" && !items.empty())
      reference_ = reference_of(spec, cell_key(spec, 1), items);
}

// Null for other models and tasks than the reference cell's, and for a reference cell that nobody named.
const SentinelReference* StudyRunner::reference_for(const CellSpec& spec) const {
  const CellSpec& theirs = study_.cells[study_.reference];
  const auto asked = [](const CellSpec& cell) {
    return std::tuple(cell.model.path, cell.model.random_shape, cell.model.seed, cell.task, cell.limit.value_or(0),
                      cell.sample.value_or(0), cell.sample_seed);
  };
  const bool is_itself = to_json(spec) == to_json(theirs);
  static const SentinelReference trusted = SentinelReference::none("it is the study's reference");
  if (is_itself && study_.names_reference) return &trusted;
  return reference_ && !is_itself && asked(spec) == asked(theirs) ? &*reference_ : nullptr;
}

void StudyRunner::run() {
  run_cells();
  if (!study_.frontier) return;
  for (const std::string& name : strategy_order_) search_frontier(name, strategies_.at(name));
}

void StudyRunner::note(const CellSpec& spec, const std::string& status) {
  std::string& known = strategies_.at(strategy_name(spec)).status_of_batch[spec.run.batch];
  // Of repeats that ended differently the one that says something of memory counts.
  if (known.empty() || known == "failed" || known == "timed_out") known = status;
}

void StudyRunner::run_cells() {
  for (std::size_t i = 0; i < order_.size(); ++i)
    if (!finished_.contains(ids_[i])) time_left_.expect(strategy_name(study_.cells[order_[i].cell]));
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const CellSpec& spec = study_.cells[order_[i].cell];
    if (const auto found = finished_.find(ids_[i]); found != finished_.end()) {
      note(spec, found->second);
      if (order_[i].cell == study_.reference) take_reference(ids_[i]);
      ++cells_found_;
      continue;
    }
    progress_.begin(i + 1, order_.size(), cell_key(spec, order_[i].repeat), time_left_.left());
    run_cell(order_[i], ids_[i]);
  }
}

void StudyRunner::run_cell(const PlannedRun& planned, std::int64_t id) {
  const CellSpec& spec = study_.cells[planned.cell];
  const Nanoseconds begin = clock_.now();
  const std::int64_t attempt = store_.start_attempt(session_, id);
  CellRecords records = runner_.run(resolved(spec, study_.folder), reference_for(spec));
  if (add_counters_) add_counters_(spec, records);
  if (!expected_seconds_.empty() && expected_seconds_[planned.cell])
    set_estimate(records.result, *expected_seconds_[planned.cell]);
  store_.finish_attempt(attempt, records.result, records.items, records.phases, records.ledger, records.devices,
                        records.requests);
  time_left_.finished(strategy_name(spec), clock_.now() - begin);
  progress_.end(records.result.status, records.result.reason);
  note(spec, records.result.status);
  if (planned.cell == study_.reference) take_reference(id);
  ++cells_run_;
}

void StudyRunner::search_frontier(const std::string& name, Strategy& strategy) {
  FrontierRecord frontier;
  for (const FrontierRecord& earlier : store_.reader().frontiers(study_id_))
    if (earlier.strategy == name) frontier = earlier;
  if (frontier.largest_ran || !frontier.reason.empty()) return;  // done before
  nlohmann::json fixed = to_json(strategy.spec);
  fixed.erase("batch");
  frontier.study = study_id_;
  frontier.strategy = name;
  frontier.spec_json = fixed.dump();
  if (!strategy.spec.run.device_memory_bytes) {
    frontier.reason = "no --device-memory is set: nothing limits the batch";
    store_.set_frontier(frontier);
    return;
  }
  try {
    const FrontierPlanner::Answer plan = planner_.largest(resolved(strategy.spec, study_.folder));
    const std::int64_t bound = std::min(plan.sequences, study_.frontier_largest_batch.value_or(plan.sequences));
    frontier.largest_plan = std::min(plan.largest, bound);
    bisect(frontier, strategy, bound);
  } catch (const InputError& error) {
    frontier.reason = error.what();
  }
  store_.set_frontier(frontier);
}

// Every try is kept at once, so that a killed study does not make it again.
void StudyRunner::bisect(FrontierRecord& frontier, const Strategy& strategy, std::int64_t bound) {
  FrontierSearch search(bound);
  const auto know = [&](std::int64_t batch, const std::string& status) {
    if (has_scores(status)) search.know(batch, true);
    if (status == "out_of_memory") search.know(batch, false);
  };
  for (const auto& [batch, status] : strategy.status_of_batch) know(batch, status);
  for (const FrontierRecord::Try& earlier : frontier.tries) know(earlier.batch, earlier.status);
  CellSpec spec = strategy.spec;
  while (const auto batch = search.next()) {
    spec.run.batch = *batch;
    progress_.begin(frontier.tries.size() + 1, frontier.tries.size() + 1,
                    fmt::format("largest batch: {} of {}", *batch, frontier.strategy), std::nullopt);
    const CellRecords records = runner_.run(resolved(spec, study_.folder), reference_for(spec));
    const std::string& status = records.result.status;
    frontier.tries.push_back({.batch = *batch, .status = status, .reason = records.result.reason});
    know(*batch, status);
    if (status == "failed" || status == "timed_out") {
      frontier.reason =
          fmt::format("batch {} {}: {}", *batch, status == "failed" ? "failed" : "timed out", records.result.reason);
      return;
    }
    store_.set_frontier(frontier);
  }
  frontier.largest_ran = search.largest();
}

}  // namespace batchscope
