// `batchscope study`: many cells, resumable.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/error.h"
#include "cli/command.h"
#include "cli/html_option.h"
#include "cli/json_option.h"
#include "cli/output.h"
#include "cli/run_study.h"
#include "report/page/study_page.h"
#include "report/study_report.h"
#include "store/store.h"
#include "study/dry_run.h"
#include "study/study_file.h"

namespace batchscope::cli {
namespace {

struct StudyOptions {
  std::string file, output;
  bool dry_run = false;
  JsonOption json;
  HtmlOption html;
};

void dry_run(const StudySpec& study, const StudyOptions& options) {
  const DryRun planned = plan_study(study);
  options.json.put([&] { return to_text(planned); }, [&] { return to_json(planned); });
}

void study(StudyOptions& options) {
  options.json.settle(options.file);
  if (options.file.empty()) throw InputError("study: name a study file, for example studies/demo.toml");
  const StudySpec spec = read_study(options.file);
  if (options.dry_run) return dry_run(spec, options);
  const std::filesystem::path path = options.output.empty() ? spec.name + ".bscope" : options.output;
  options.html.settle(options.json, path);
  run_study(spec, path, "study");
  const StoreReader reader(path);
  const StudyReport report = read_study_report(reader);
  options.html.put([&] { return study_page(report, reader); });
  options.json.put([&] { return options.html.text_or_nothing(to_text(report, stdout_has_colour())); },
                   [&] { return to_json(report); });
}

}  // namespace

void add_study(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<StudyOptions>();
  CLI::App* command = app.add_subcommand("study", "run many cells; the same command resumes them");
  command->add_option("file", options->file, "the study, as docs/study_files.md has it")->type_name("FILE.toml");
  command->add_option("-o,--output", options->output, "where results go (default: the study's name)")
      ->type_name("FILE.bscope");
  CLI::Option* dry_run = command->add_flag("--dry-run", options->dry_run,
                                           "list cells, planned memory and an estimate of the time; run nothing");
  options->json.add(*command, "the report, or the dry run, as JSON");
  options->html.add(*command)->excludes(dry_run);
  command->footer("Example:\n  batchscope study studies/demo.toml -o demo.bscope --html demo.html");
  command->callback([options, &exit_code] {
    study(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
