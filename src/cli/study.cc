// `batchscope study`: many cells, resumable.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/command.h"
#include "cli/html_option.h"
#include "cli/json_option.h"
#include "cli/output.h"
#include "cli/run_study.h"
#include "comm/launcher.h"
#include "report/page/study_page.h"
#include "report/study_report.h"
#include "store/store.h"
#include "study/dry_run.h"
#include "study/study_file.h"
#include "study/time_needed.h"

namespace batchscope::cli {
namespace {

struct StudyOptions {
  std::string file, output, launcher;
  std::vector<std::string> settings;
  bool dry_run = false, retry_failed = false;
  JsonOption json;
  HtmlOption html;
};

// With what the study's own file, where there is one, says of the runs that are finished.
void dry_run(const StudySpec& study, const StudyOptions& options, const std::filesystem::path& path) {
  MeasuredRates rates;
  const DryRun planned = plan_study(study, rates);
  std::optional<StoreReader> file;
  if (std::filesystem::exists(path)) file.emplace(path);
  const std::vector<StudyRecord> studies = file ? file->studies() : std::vector<StudyRecord>();
  const bool is_its_own = std::any_of(studies.begin(), studies.end(), [&](const StudyRecord& each) {
    return each.name == study.name && each.spec_json == to_json(study).dump();
  });
  const TimeNeeded needed = time_needed(expected_runs(study, planned, is_its_own ? &*file : nullptr));
  options.json.put([&] { return to_text(planned) + (planned.seconds || needed.finished > 0 ? to_text(needed) : ""); },
                   [&] {
                     nlohmann::json json = to_json(planned);
                     json["time_needed"] = to_json(needed);
                     return json;
                   });
}

void study(StudyOptions& options) {
  if (launched())
    throw InputError(
        "study: a launcher has started it more than once; start it alone, with --launcher \"mpirun -n {{ranks}}\"");
  options.json.settle(options.file);
  if (options.file.empty()) throw InputError("study: name a study file, for example studies/demo.toml");
  const StudySpec spec = read_study(options.file, options.settings);
  const std::filesystem::path path = options.output.empty() ? spec.name + ".bscope" : options.output;
  if (options.dry_run) return dry_run(spec, options, path);
  options.html.settle(options.json, path);
  check_store_name(path.string(), "-o");
  std::optional<Launcher> launcher;
  if (!options.launcher.empty()) launcher.emplace(options.launcher);
  run_study(spec, path, "study", launcher, options.retry_failed);
  const StoreReader reader(path);
  const StudyReport report = read_study_report(reader);
  options.html.put([&] { return study_page(report, reader); });
  options.json.put([&] { return options.html.text_or_nothing(to_text(report, stdout_has_colour())); },
                   [&] { return to_json(report); });
}

}  // namespace

void add_study(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<StudyOptions>();
  CLI::App* command = app.add_subcommand("study", "run all cells of a study; the same command resumes it");
  command->add_option("file", options->file, "the study file, described in docs/study_files.md")
      ->type_name("FILE.toml");
  command->add_option("-o,--output", options->output, "file of the results (default: the study's name)")
      ->type_name("FILE.bscope");
  command
      ->add_option("--set", options->settings,
                   "another value for a key of the file, wherever it stands: --set device=cpu:4 --set limit=40")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  CLI::Option* dry_run = command->add_flag("--dry-run", options->dry_run,
                                           "list cells with planned memory and estimated time; run nothing");
  command
      ->add_option(
          "--launcher", options->launcher,
          "run each rank in a process of its own, started by this command: \"mpirun -n {ranks}\", \"srun -n {ranks}\"")
      ->type_name("COMMAND")
      ->excludes(dry_run);
  command
      ->add_flag("--retry-failed", options->retry_failed,
                 "run cells that failed or timed out earlier once more, for example since their server was gone")
      ->excludes(dry_run);
  options->json.add(*command, "the report, or the dry run, as JSON");
  options->html.add(*command)->excludes(dry_run);
  command->footer("Example:\n  batchscope study studies/demo.toml -o demo.bscope --html demo.html");
  command->callback([options, &exit_code] {
    study(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
