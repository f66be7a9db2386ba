// `batchscope study`: many cells, resumable.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/error.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/json_option.h"
#include "cli/output.h"
#include "engine/engine.h"
#include "report/study_report.h"
#include "store/store.h"
#include "study/dry_run.h"
#include "study/environment.h"
#include "study/study_file.h"
#include "study/study_runner.h"
#include "telemetry/recording.h"

namespace batchscope::cli {
namespace {

struct StudyOptions {
  std::string file, output;
  bool dry_run = false;
  JsonOption json;
};

void dry_run(const StudySpec& study, const StudyOptions& options) {
  const DryRun planned = plan_study(study);
  options.json.put([&] { return to_text(planned); }, [&] { return to_json(planned); });
}

void run_into(const std::filesystem::path& path, const StudySpec& study) {
  const InterruptFlag interrupt;
  TaskPlanner planner;
  planner.check(study);  // before there is a file
  StoreWriter store(path, OpenMode::create_or_append);
  const std::int64_t session = store.begin_session("study");
  store.set_environment(session, environment());
  WorkerRunner runner(this_program_as_worker(), study.time_out, interrupt.flag());
  std::unique_ptr<Progress> progress = std::make_unique<NoProgress>();
  if (stderr_is_terminal()) progress = std::make_unique<TerminalProgress>();
  StudyRunner course(study, store, session, runner, planner, *progress, monotonic_clock());

  // Reads the workers' devices too: they are children of this process.
  Recording recording(default_sources(study.sample_period, getpid()), {.period = study.sample_period}, &store, session);
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

void study(StudyOptions& options) {
  options.json.settle(options.file);
  if (options.file.empty()) throw InputError("study: name a study file, for example studies/demo.toml");
  const StudySpec spec = read_study(options.file);
  if (options.dry_run) return dry_run(spec, options);
  const std::filesystem::path path = options.output.empty() ? spec.name + ".bscope" : options.output;
  run_into(path, spec);
  const StudyReport report = read_study_report(StoreReader(path));
  options.json.put([&] { return to_text(report, stdout_has_colour()); }, [&] { return to_json(report); });
}

}  // namespace

void add_study(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<StudyOptions>();
  CLI::App* command = app.add_subcommand("study", "run many cells; the same command resumes them");
  command->add_option("file", options->file, "the study, as docs/study_files.md has it")->type_name("FILE.toml");
  command->add_option("-o,--output", options->output, "where results go (default: the study's name)")
      ->type_name("FILE.bscope");
  command->add_flag("--dry-run", options->dry_run,
                    "list cells, planned memory and an estimate of the time; run nothing");
  options->json.add(*command, "the report, or the dry run, as JSON");
  command->footer("Example:\n  batchscope study studies/demo.toml -o demo.bscope");
  command->callback([options, &exit_code] {
    study(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
