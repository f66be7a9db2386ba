// Runs a study into its .bscope file: what is finished there is not run again, what is missing is.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "store/store.h"
#include "study/frontier.h"
#include "study/grid.h"
#include "study/progress.h"
#include "study/records.h"
#include "study/study_file.h"
#include "study/worker_process.h"

namespace batchscope {

// Runs one cell at a time, wherever.
class CellRunner {
 public:
  virtual ~CellRunner() = default;
  // The cell's paths can be opened. Whatever the cell meets is in the result; Interrupted when asked to stop.
  // Its answers are compared with the reference's; null: with what can be found where it runs.
  virtual CellRecords run(const CellSpec& spec, const SentinelReference* reference) = 0;
};

// In worker processes, one at a time; the next cell with the same worker_key() finds the model loaded.
class WorkerRunner : public CellRunner {
 public:
  WorkerRunner(WorkerMain main, Nanoseconds time_out, const std::atomic<bool>& stop,
               std::optional<Launcher> launcher = {}, std::function<void()> on_warm = {})
      : main_(std::move(main)),
        launcher_(std::move(launcher)),
        time_out_(time_out),
        stop_(stop),
        on_warm_(std::move(on_warm)) {}
  CellRecords run(const CellSpec& spec, const SentinelReference* reference) override;

 private:
  WorkerMain main_;
  std::optional<Launcher> launcher_;
  Nanoseconds time_out_;
  const std::atomic<bool>& stop_;
  std::function<void()> on_warm_;  // when a cell's timed part begins
  std::unique_ptr<WorkerProcess> worker_;
  std::string worker_key_;
};

// What counters say of a cell that has run, added to its result.
using AddCounters = std::function<void(const CellSpec& spec, CellRecords& records)>;

// What the plan says of one strategy; asked once each.
class FrontierPlanner {
 public:
  virtual ~FrontierPlanner() = default;
  struct Answer {
    std::int64_t sequences = 0;  // of the task: no batch is larger
    std::int64_t largest = 0;    // batch that fits
  };
  virtual Answer largest(const CellSpec& spec) = 0;
};

// By plan_cell(): reads configuration, tokenizer and task, no weights.
class TaskPlanner : public FrontierPlanner {
 public:
  Answer largest(const CellSpec& spec) override;
  const PreparedTask& prepared(const CellSpec& spec);
  // InputError when a cell's model, tokenizer or task cannot be read, or its layout cannot cut the model: better known
  // before anything runs.
  void check(const StudySpec& study);

 private:
  std::map<std::string, PreparedTask> tasks_;
};

class StudyRunner {
 public:
  // Finds or makes the study in the file; InputError when the file holds another one.
  StudyRunner(const StudySpec& study, StoreWriter& store, std::int64_t session, CellRunner& runner,
              FrontierPlanner& planner, Progress& progress, const Clock& clock, AddCounters add_counters = {});

  // What the model of performance says each of the study's cells will take, to be kept beside what they take.
  void expect_seconds(std::vector<std::optional<double>> of_cells) { expected_seconds_ = std::move(of_cells); }
  // Cells that failed or timed out earlier are not finished.
  void retry_failed();
  // Cells and repeats that are not finished.
  std::int64_t cells_left() const { return std::ssize(order_) - std::ssize(finished_); }

  // Everything that is not there yet. Interrupted leaves it to the next time.
  void run();
  std::int64_t cells_run() const { return cells_run_; }
  std::int64_t cells_found() const { return cells_found_; }  // finished before

 private:
  struct Strategy {
    CellSpec spec;  // its first cell
    std::map<std::int64_t, std::string> status_of_batch;
  };

  void register_cells();
  void run_cells();
  void run_cell(const PlannedRun& planned, std::int64_t id);
  void note(const CellSpec& spec, const std::string& status);
  void put_reference_first();
  const SentinelReference* reference_for(const CellSpec& spec) const;
  void take_reference(std::int64_t cell);
  void search_frontier(const std::string& name, Strategy& strategy);
  void bisect(FrontierRecord& frontier, const Strategy& strategy, std::int64_t bound);

  const StudySpec& study_;
  StoreWriter& store_;
  std::int64_t session_;
  CellRunner& runner_;
  FrontierPlanner& planner_;
  Progress& progress_;
  const Clock& clock_;
  AddCounters add_counters_;

  std::int64_t study_id_ = 0;
  std::vector<PlannedRun> order_;
  std::vector<std::int64_t> ids_;                 // of order_, in the store
  std::map<std::int64_t, std::string> finished_;  // cell's id to status
  std::map<std::string, Strategy> strategies_;
  std::vector<std::string> strategy_order_;
  std::optional<SentinelReference> reference_;    // of the study's reference cell, once it ran
  std::vector<std::optional<double>> expected_seconds_;  // of study_.cells, or none
  TimeLeft time_left_;
  std::int64_t cells_run_ = 0, cells_found_ = 0;
};

}  // namespace batchscope
