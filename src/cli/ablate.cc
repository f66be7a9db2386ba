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
    cell.batch = batch;
    CellSpec spec = cell.cell();
    if (!batches.insert(spec.run.batch).second) throw InputError("--batches: {} is there twice", spec.run.batch);
    for (const Fusion& fusion : ablation(make_engine(spec.engine)->capabilities().fusions)) {
      spec.run.fusion = fusion;
      study.cells.push_back(spec);
    }
  }
  return study;
}

// The effects, and what is to be known of them; all the rest is in the file.
std::string to_text_of_effects(const StudyReport& report) {
  std::string text = fmt::format("ablation of fusions, {}{}\n", report.cells.front().spec.placement.layout.to_string(),
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
  const StudySpec study = study_of(options);
  std::optional<TemporaryFolder> folder;  // for results that nobody asked to keep
  if (options.output.empty())
    folder.emplace(std::filesystem::temp_directory_path() / fmt::format("batchscope-ablate-{}", getpid()));
  const std::filesystem::path path = folder ? folder->path() / "ablate.bscope" : std::filesystem::path(options.output);
  try {
    run_study(study, path, "ablate");
  } catch (const Interrupted&) {
    if (folder) throw Interrupted("interrupted, and nothing is kept; with -o FILE the same command goes on");
    throw;
  }
  const StudyReport report = read_study_report(StoreReader(path));
  options.json.put([&] { return to_text_of_effects(report); }, [&] { return to_json(report); });
}

}  // namespace

void add_ablate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<AblateOptions>();
  CLI::App* command = app.add_subcommand("ablate", "what each fusion does to the time, alone and left out");
  options->cell.add_model_flags(*command);
  options->cell.add_task_flags(*command);
  options->cell.add_placement_flags(*command);
  options->cell.add_setting_flags(*command);
  command->add_option("--batches,--batch", options->batches, "sequences a batch: each of these")
      ->type_name("N,…")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--repeats", options->repeats, "of every cell; two at least for intervals")
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option("-o,--output", options->output,
                   "keep everything there; the same command goes on (default: nothing is kept)")
      ->type_name("FILE.bscope");
  options->json.add(*command, "the report of all cells as JSON");
  command->footer(
      "Runs off, each fusion alone, each left out of on, and on; in random order within\n"
      "each repeat. fusion = \"each\" in a study file is the same.\n"
      "Example:\n"
      "  batchscope ablate --parallel tp4 --limit 100 --batches 1,8 -o ablate.bscope");
  command->callback([options, &exit_code] {
    ablate(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
