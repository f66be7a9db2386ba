// A study's sessions (cli/run_study.h).
#include "cli/run_study.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "base/error.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "store/store.h"
#include "study/environment.h"
#include "study/study_runner.h"
#include "telemetry/recording.h"

namespace batchscope::cli {

void run_study(const StudySpec& study, const std::filesystem::path& path, std::string_view verb) {
  const InterruptFlag interrupt;
  TaskPlanner planner;
  planner.check(study);  // before there is a file
  StoreWriter store(path, OpenMode::create_or_append);
  const std::int64_t session = store.begin_session(verb);
  store.set_environment(session, environment());
  WorkerRunner runner(this_program_as_worker(), study.time_out, interrupt.flag());
  std::unique_ptr<Progress> progress = std::make_unique<NoProgress>();
  if (stderr_is_terminal()) progress = std::make_unique<TerminalProgress>();
  StudyRunner course(study, store, session, runner, planner, *progress, monotonic_clock());

  // Reads the workers' devices too: they are children of this process.
  Recording recording(virtual_sources(getpid()), {.period = study.sample_period}, &store, session);
  try {
    course.run();
  } catch (const Interrupted&) {
    throw Interrupted(
        fmt::format("interrupted; what is finished is in {}, and the same command goes on from there", path.string()));
  }
  recording.stop();
  if (const auto error = recording.write_error()) throw Failure("{}", *error);
  store.end_session(session);
}

}  // namespace batchscope::cli
