// `batchscope report`: what a .bscope file says.
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "cli/command.h"
#include "cli/json_option.h"
#include "cli/output.h"
#include "report/recording_report.h"
#include "report/study_report.h"
#include "store/store.h"
#include "telemetry/summary.h"

namespace batchscope::cli {
namespace {

struct ReportOptions {
  std::string file;
  std::optional<std::string> study;
  JsonOption json;
};

void report(ReportOptions& options) {
  options.json.settle(options.file);
  if (options.file.empty()) throw InputError("report: name the .bscope file of a study, an eval or a recording");
  const StoreReader reader(options.file);
  if (reader.studies().empty() && !options.study) {
    const RecordingSummary summary = read_recording_summary(reader);
    return options.json.put([&] { return to_text(summary, stdout_has_colour()); }, [&] { return to_json(summary); });
  }
  const StudyReport study = read_study_report(reader, options.study);
  options.json.put([&] { return to_text(study, stdout_has_colour()); }, [&] { return to_json(study); });
}

}  // namespace

void add_report(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand("report", "tables of a study, or the summary of a recording");
  command->add_option("file", options->file, "of a study, an eval or a recording")->type_name("FILE.bscope");
  command->add_option("--study", options->study, "of a file that holds several, the study to report")
      ->type_name("NAME");
  options->json.add(*command, "the same numbers, unrounded, as JSON");
  command->footer("Example:\n  batchscope report demo.bscope");
  command->callback([options, &exit_code] {
    report(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
