// `batchscope report`: what a .bscope file says.
#include <memory>
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
  JsonOption json;
};

void report(ReportOptions& options) {
  options.json.settle(options.file);
  if (options.file.empty()) throw InputError("report: name the .bscope file of a study, an eval or a recording");
  const StoreReader reader(options.file);
  if (reader.studies().empty()) {
    const RecordingSummary summary = read_recording_summary(reader);
    return options.json.put([&] { return to_text(summary, stdout_has_colour()); }, [&] { return to_json(summary); });
  }
  const StudyReport study = read_study_report(reader);
  options.json.put([&] { return to_text(study, stdout_has_colour()); }, [&] { return to_json(study); });
}

}  // namespace

void add_report(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand("report", "tables of a study, or the summary of a recording");
  command->add_option("file", options->file, "of a study, an eval or a recording")->type_name("FILE.bscope");
  options->json.add(*command, "the same numbers, unrounded, as JSON");
  command->footer("Example:\n  batchscope report demo.bscope");
  command->callback([options, &exit_code] {
    report(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
