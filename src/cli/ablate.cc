// `batchscope ablate`: what each fusion does to the time, alone and where only it is missing.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/json_option.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/run_study.h"
#include "engine/engine.h"
#include "report/study_report.h"
#include "store/store.h"
#include "study/ablation.h"
#include "study/study_file.h"

namespace batchscope::cli {
namespace {

struct AblateOptions {
  CellOptions cell;
  std::vector<std::string> batches{"1", "8", "32"};
  std::string repeats = "5", output;
  JsonOption json;
};

StudySpec study_of(const AblateOptions& options) {
  StudySpec study;
  study.name = "ablate";
  study.repeats = parse_integer(options.repeats, 1, 1000, "--repeats");
  study.frontier = false;
  study.folder = std::filesystem::current_path();
  CellOptions cell = options.cell;
  std::set<std::int64_t> batches;
  for (const std::string& batch : options.batches) {
    cell.value("batch") = batch;
    CellSpec spec = cell.cell();
    if (!batches.insert(spec.run.batch).second) throw InputError("--batches: {} is given twice", spec.run.batch);
    for (const Fusion& fusion : ablation(make_engine(spec.engine)->capabilities().fusions)) {
      spec.run.fusion = fusion;
      study.cells.push_back(spec);
    }
  }
  return study;
}

// The effects, and what is to be known of them; all the rest is in the file.
std::string to_text_of_effects(const StudyReport& report) {
  std::string text = fmt::format("fusion ablation, {}{}\n", report.cells.front().spec.placement.layout.to_string(),
                                 report.has_virtual_devices ? " (virtual devices)" : "");
  for (const Section& section : study_sections(report))
    if (section.id.starts_with("effects-") || section.id == "troubles" || section.id == "closing")
      text += to_text(section, stdout_has_colour());
  return text;
}

void ablate(AblateOptions& options) {
  std::string nothing_to_read = "-";
  options.json.settle(nothing_to_read);
  check_destination(options.output, "-o");
  check_store_name(options.output, "-o");
  const StudySpec study = study_of(options);
  std::optional<TemporaryFolder> folder;  // for results that nobody asked to keep
  if (options.output.empty()) folder.emplace(temporary_folder() / fmt::format("batchscope-ablate-{}", getpid()));
  const std::filesystem::path path = folder ? folder->path() / "ablate.bscope" : std::filesystem::path(options.output);
  try {
    run_study(study, path, "ablate");
  } catch (const Interrupted&) {
    if (folder) throw Interrupted("interrupted, and nothing is kept; with -o FILE the same command resumes");
    throw;
  }
  const StudyReport report = read_study_report(StoreReader(path));
  options.json.put([&] { return to_text_of_effects(report); }, [&] { return to_json(report); });
}

}  // namespace

void add_ablate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<AblateOptions>();
  CLI::App* command = app.add_subcommand("ablate", "measure what each fusion saves, alone and when omitted");
  options->cell.add(*command, {AxisGroup::model, AxisGroup::task, AxisGroup::placement, AxisGroup::setting});
  command->add_option("--batches,--batch", options->batches, "batch sizes to run")
      ->type_name("N,…")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--repeats", options->repeats, "repeats of every cell; at least two for intervals")
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option("-o,--output", options->output,
                   "keep all results here, so that the same command resumes (default: nothing is kept)")
      ->type_name("FILE.bscope");
  options->json.add(*command, "the report of all cells as JSON");
  command->footer(
      "Runs without fusion, with each fusion alone, with all but each, and with all, in\n"
      "random order within each repeat; the same as fusion = \"each\" in a study file.\n"
      "Example:\n"
      "  batchscope ablate --parallel tp4 --limit 100 --batches 1,8 -o ablate.bscope");
  command->callback([options, &exit_code] {
    ablate(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
