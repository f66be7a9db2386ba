// `batchscope compare`: whether a second run of a study is worse than the first.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/command.h"
#include "cli/html_option.h"
#include "cli/json_option.h"
#include "cli/output.h"
#include "report/page/comparison_page.h"
#include "store/store.h"

namespace batchscope::cli {
namespace {

struct CompareOptions {
  std::vector<std::string> files, studies;
  std::string thresholds = "5%";
  bool disturbed = false, json_first = false;
  JsonOption json;
  HtmlOption html;
};

// "5%": 0.05.
double parse_threshold(std::string_view text) {
  double percent = 0;
  const bool has_sign = text.ends_with('%');
  const std::string_view digits = has_sign ? text.substr(0, text.size() - 1) : text;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), percent);
  if (!has_sign || error != std::errc() || end != digits.data() + digits.size() || !(percent >= 0 && percent < 1e6))
    throw InputError("--threshold: '{}' is not a percentage; write 5%, or time=5%,accuracy=1%,memory=1%,traffic=1%",
                     text);
  return percent / 100;
}

// "5%" is of times; "accuracy=0.5%" is of what it names.
void set_threshold(std::string_view text, Thresholds& thresholds) {
  struct Named {
    std::string_view name;
    double Thresholds::*share;
  };
  constexpr std::array names{Named{"time", &Thresholds::time}, Named{"accuracy", &Thresholds::accuracy},
                             Named{"memory", &Thresholds::memory}, Named{"traffic", &Thresholds::traffic}};
  const auto equals = text.find('=');
  const std::string_view name = equals == text.npos ? "time" : text.substr(0, equals);
  for (const Named& named : names)
    if (name == named.name) {
      thresholds.*named.share = parse_threshold(equals == text.npos ? text : text.substr(equals + 1));
      return;
    }
  throw InputError("--threshold: '{}' has no threshold; use time, accuracy, memory or traffic", name);
}

// --json may have swallowed a file that was meant for the comparison: `compare A --json B`, `compare --json A B`.
void settle_files(CompareOptions& options) {
  std::string swallowed = options.files.size() < 2 ? "" : options.files.back();
  options.json.settle(swallowed);
  if (options.files.size() == 1 && !swallowed.empty())
    options.files.insert(options.json_first ? options.files.begin() : options.files.end(), swallowed);
}

bool compare_files(CompareOptions& options) {
  settle_files(options);
  if (options.files.size() != 2)
    throw InputError("compare: name two .bscope files, for example: compare before.bscope after.bscope");
  for (const std::string& file : options.files) options.html.settle(options.json, file);
  Thresholds thresholds{.judge_disturbed = options.disturbed};
  for (std::size_t begin = 0; begin <= options.thresholds.size();) {
    const std::size_t end = std::min(options.thresholds.find(',', begin), options.thresholds.size());
    set_threshold(std::string_view(options.thresholds).substr(begin, end - begin), thresholds);
    begin = end + 1;
  }
  if (options.studies.size() > 2) throw InputError("--study: at most two, one for A and one for B");
  const auto study = [&](std::size_t side) {
    return options.studies.empty() ? std::nullopt
                                   : std::optional(options.studies[std::min(side, options.studies.size() - 1)]);
  };
  const ComparedStudy a = read_compared_study(StoreReader(options.files[0]), study(0));
  const ComparedStudy b = read_compared_study(StoreReader(options.files[1]), study(1));
  const Comparison comparison = compare(a, b, thresholds);
  options.html.put([&] { return comparison_page(comparison); });
  options.json.put([&] { return options.html.text_or_nothing(to_text(comparison, stdout_has_colour())); },
                   [&] { return to_json(comparison); });
  return comparison.regressions().empty();
}

}  // namespace

void add_compare(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<CompareOptions>();
  CLI::App* command = app.add_subcommand("compare", "check whether a second run of a study or cell is worse");
  command->add_option("files", options->files, "the run before (A) and the run after (B)")
      ->type_name("FILE.bscope")
      ->expected(0, 2);
  command
      ->add_option("--threshold", options->thresholds,
                   "how much worse counts as a regression: 5% of the time, or a list; default: "
                   "time=5%,accuracy=1%,memory=1%,traffic=1% (accuracy in points)")
      ->type_name("SHARE")
      ->capture_default_str();
  command
      ->add_option("--study", options->studies,
                   "the study to compare, where files hold several; given twice: that of A, then that of B")
      ->type_name("NAME")
      ->expected(1)
      ->take_all();
  command->add_flag("--disturbed", options->disturbed, "also judge times that other programs disturbed");
  options->json.add(*command, "the same numbers, unrounded, as JSON");
  options->html.add(*command);
  command->footer(
      "Exit codes: 0 no regression, 1 a regression, 2 bad input.\n"
      "Time and accuracy are tested, with at most 5 % false alarms per comparison.\n"
      "Example:\n  batchscope compare before.bscope after.bscope --threshold 5%");
  command->callback([options, command, &exit_code] {
    const auto& order = command->parse_order();
    options->json_first = !order.empty() && order.front() == command->get_option("--json");
    exit_code = static_cast<int>(compare_files(*options) ? ExitCode::ok : ExitCode::answer_is_no);
  });
}

}  // namespace batchscope::cli
