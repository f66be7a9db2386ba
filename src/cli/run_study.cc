// Runs the sessions of a study: new, continued, stopped.
#include "cli/run_study.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "store/store.h"
#include "study/cell_counters.h"
#include "study/dry_run.h"
#include "study/environment.h"
#include "study/study_runner.h"
#include "telemetry/recording.h"

namespace batchscope::cli {

namespace {

// Of each cell, before any of them runs. On GPUs a process that has measured keeps some of their memory, which the cells
// are to have: there nothing is expected.
std::vector<std::optional<double>> estimated_seconds(const StudySpec& study) {
  const bool all_virtual = std::all_of(study.cells.begin(), study.cells.end(), [](const CellSpec& cell) {
    return device_provider(cell.placement.device.kind).is_virtual();
  });
  if (!all_virtual) return {};
  MeasuredRates rates;
  std::vector<std::optional<double>> seconds;
  for (const DryRun::Row& row : plan_study(study, rates).rows) seconds.push_back(row.seconds);
  return seconds;
}

}  // namespace

void run_study(const StudySpec& study, const std::filesystem::path& path, std::string_view verb,
               const std::optional<Launcher>& launcher, bool retries_failed) {
  const InterruptFlag interrupt;
  TaskPlanner planner;
  planner.check(study);  // before there is a file
  StoreWriter store(path, OpenMode::create_or_append);
  const std::int64_t session = store.begin_session(verb);
  store.set_environment(session, environment());
  std::unique_ptr<Progress> progress = std::make_unique<NoProgress>();
  if (stderr_is_terminal()) progress = std::make_unique<TerminalProgress>();
  std::optional<Recording> recording;
  std::optional<CellCounters> counters;
  WorkerRunner runner(this_program_as_worker(), study.time_out, interrupt.flag(), launcher,
                      [&] { counters->timed_part_begins(); });
  StudyRunner course(study, store, session, runner, planner, *progress, monotonic_clock(),
                     [&](const CellSpec& spec, CellRecords& records) { counters->add(spec, records); });
  if (retries_failed) course.retry_failed();
  // Before anything is recorded: it takes the CPUs for a while.
  if (course.cells_left() > 0 && !launcher) course.expect_seconds(estimated_seconds(study));
  // Reads the workers' devices too: they are children of this process.
  recording.emplace(sources_of(study.cells, getpid(), study.paper_sampler),
                    SamplerOptions{.period = study.sample_period}, &store, session);
  counters.emplace(*recording, store, session, are_on_gpus(study.cells));
  try {
    course.run();
  } catch (const Interrupted&) {
    throw Interrupted(
        fmt::format("interrupted; finished cells are in {}, and the same command resumes from there", path.string()));
  }
  recording->stop();
  if (const auto error = recording->write_error()) throw Failure("{}", *error);
  store.end_session(session);
}

}  // namespace batchscope::cli
