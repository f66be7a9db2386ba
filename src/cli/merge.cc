// `batchscope merge`: several .bscope files into one.
#include "store/merge.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/output.h"

namespace batchscope::cli {
namespace {

struct MergeOptions {
  std::vector<std::string> files;
  std::string output;
};

std::string counted(std::int64_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

void merge(const MergeOptions& options) {
  if (options.output == "-") throw InputError("-o: a .bscope file cannot go to standard output; name a file");
  check_destination(options.output, "-o");
  check_store_name(options.output, "-o");
  const std::vector<std::filesystem::path> inputs(options.files.begin(), options.files.end());
  const InterruptFlag interrupt;
  const MergeSummary merged = merge_stores(inputs, options.output, interrupt.flag());
  for (const std::string& note : merged.notes) warn(note);
  const std::string repeated =
      merged.repeated_sessions == 0 ? "" : fmt::format(" ({} given more than once)", merged.repeated_sessions);
  print_text(fmt::format(
      "{}: {}{}, {}, {}, {} time series\n", options.output, counted(merged.sessions, "session", "sessions"), repeated,
      counted(merged.studies, "study", "studies"), counted(merged.attempts, "attempt", "attempts"), merged.series));
}

}  // namespace

void add_merge(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<MergeOptions>();
  CLI::App* command =
      app.add_subcommand("merge", "merge several .bscope files into one, for example those of several hosts");
  command->add_option("files", options->files, "files to merge; they are not changed")
      ->type_name("FILE.bscope")
      ->required();
  command->add_option("-o,--output", options->output, "the new file; it must not exist")
      ->type_name("FILE.bscope")
      ->required();
  command->footer(
      "Studies with equal settings become one: their cells keep the attempts of all\n"
      "files. A session found in several files, as in a file and its copy, is taken\n"
      "once. Another study of the same name gets a number: 'eval (2)'.\n"
      "Example:\n"
      "  batchscope merge node1.bscope node2.bscope -o both.bscope");
  command->callback([options, &exit_code] {
    merge(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
