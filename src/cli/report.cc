// `batchscope report`: what a .bscope file says.
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/output.h"
#include "report/recording_report.h"
#include "report/study_report.h"
#include "store/store.h"
#include "telemetry/summary.h"

namespace batchscope::cli {
namespace {

struct ReportOptions {
  std::string file;
  bool json = false;
};

void report(const ReportOptions& options) {
  const StoreReader reader(options.file);
  if (reader.studies().empty()) {
    const RecordingSummary summary = read_recording_summary(reader);
    print(options.json ? to_json(summary).dump(2) + "\n" : to_text(summary, stdout_has_colour()));
    return;
  }
  const StudyReport study = read_study_report(reader);
  print(options.json ? to_json(study).dump(2) + "\n" : to_text(study, stdout_has_colour()));
}

}  // namespace

void add_report(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand("report", "tables of a study, or the summary of a recording");
  command->add_option("file", options->file, "of a study, an eval or a recording")
      ->type_name("FILE.bscope")
      ->required();
  command->add_flag("--json", options->json, "the same numbers, unrounded, as JSON");
  command->footer("Example:\n  batchscope report demo.bscope");
  command->callback([options, &exit_code] {
    report(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
