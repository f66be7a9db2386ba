// `batchscope report`: what a .bscope file says.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/html_option.h"
#include "cli/json_option.h"
#include "cli/output.h"
#include "report/figure/figures.h"
#include "report/figure/load_figures.h"
#include "report/figure/recording_figures.h"
#include "report/goodput.h"
#include "report/load_report.h"
#include "report/page/load_page.h"
#include "report/page/study_page.h"
#include "report/recording/recording_report.h"
#include "report/study_report.h"
#include "report/svg/svg.h"
#include "store/store.h"
#include "study/axes.h"
#include "telemetry/summary/summary.h"

namespace batchscope::cli {
namespace {

struct ReportOptions {
  std::string file, figures, from, to, session, slo;
  std::optional<std::string> study;
  std::vector<std::string> where;
  bool verbose = false;
  JsonOption json;
  HtmlOption html;
};

// Before any work: the folder is there, or can be made, and takes files.
void check_figures_folder(const std::string& folder) {
  std::error_code error, ignored;
  std::filesystem::create_directories(folder, error);
  if (!std::filesystem::is_directory(folder, ignored))
    throw InputError("--figures {}: {}; name a folder", folder,
                     error ? "cannot be created: " + error.message() : std::string("is not a folder"));
  if (access(folder.c_str(), W_OK) != 0)
    throw InputError("--figures {}: cannot write there: {}; name another folder", folder, std::strerror(errno));
}

void write_figures(const std::filesystem::path& folder, const std::vector<Figure>& figures) {
  for (const Figure& figure : figures) {
    write_file_atomically(folder / (figure.id + ".svg"), to_svg(figure));
    write_file_atomically(folder / (figure.id + ".csv"), to_csv(figure));
  }
  warn(fmt::format("{} figures written to {}, each as SVG and CSV", figures.size(), folder.string()));
}

AxisValues values_of(const std::vector<std::string>& where) {
  AxisValues values;
  for (const std::string& one : where) {
    const auto equals = std::min(one.find('='), one.size());
    const std::string key = one.substr(0, equals);
    if (find_axis(key) == nullptr || equals == one.size())
      throw InputError("--where {}: write KEY=VALUE with a key of study files, as in link=pcie", one);
    values.insert_or_assign(key, one.substr(equals + 1));
  }
  return values;
}

RecordingPart part_of(const ReportOptions& options) {
  RecordingPart part;
  if (!options.from.empty()) part.from = parse_duration(options.from, "--from");
  if (!options.to.empty()) part.to = parse_duration(options.to, "--to");
  return part;
}

void report_recordings(const ReportOptions& options, const StoreReader& reader, const RecordingPart& part) {
  std::optional<std::int64_t> session;
  if (!options.session.empty()) session = parse_integer(options.session, 1, INT64_MAX, "--session");
  const std::vector<RecordedSession> sessions = read_recorded_sessions(reader, session);
  if (sessions.size() > 1 && !part.is_whole())
    throw InputError("--from and --to apply to one session, but {} holds {}; choose one with --session", options.file,
                     sessions.size());
  if (!options.figures.empty()) write_figures(options.figures, recording_figures(reader, sessions, part));
  options.html.put([&] { return recording_page(sessions, reader, part); });
  options.json.put(
      [&] {
        return options.html.text_or_nothing(
            to_text(sessions, stdout_has_colour(), options.verbose ? SummaryDetail::verbose : SummaryDetail::brief));
      },
      [&] { return to_json(sessions); });
}

// Whether the file holds runs of the load generator.
bool report_load(const ReportOptions& options, const StoreReader& reader) {
  const std::vector<LoadReport> reports = read_load_reports(options.file);
  if (reports.empty()) return false;
  if (!options.figures.empty()) write_figures(options.figures, load_figures(reports));
  options.html.put([&] { return load_page(reports, reader); });
  options.json.put([&] { return options.html.text_or_nothing(to_text(reports, stdout_has_colour())); },
                   [&] { return to_json(reports); });
  return true;
}

void report(ReportOptions& options) {
  options.json.settle(options.file);
  options.html.settle(options.json, options.file);
  if (options.file.empty()) throw InputError("report: name the .bscope file of a study, an eval or a recording");
  const StoreReader reader(options.file);
  const bool has_study = !reader.studies().empty() || options.study;
  if (!options.figures.empty()) check_figures_folder(options.figures);
  const RecordingPart part = part_of(options);
  const bool is_part = !options.from.empty() || !options.to.empty();
  if (is_part && (has_study || (options.figures.empty() && !options.html.is_given())))
    throw InputError("--from and --to choose the part of a recording that --figures and --html draw over time");
  const AxisValues where = values_of(options.where);
  if (!has_study && !where.empty()) throw InputError("--where chooses cells of a study; {} holds none", options.file);
  const auto slo = options.slo.empty() ? std::vector<load::SloTerm>() : parse_study_slo(options.slo, "--slo");
  if (!has_study && !slo.empty())
    throw InputError("--slo is of a study's requests; of load runs give it to batchscope load");
  if (!has_study && report_load(options, reader)) return;
  if (!has_study) return report_recordings(options, reader, part);
  if (!options.session.empty()) throw InputError("--session is for recordings; {} holds a study", options.file);
  const StudyReport study = read_study_report(reader, options.study, where, slo);
  if (!options.figures.empty()) write_figures(options.figures, study_figures(study));
  options.html.put([&] { return study_page(study, reader); });
  options.json.put([&] { return options.html.text_or_nothing(to_text(study, stdout_has_colour())); },
                   [&] { return to_json(study); });
}

}  // namespace

void add_report(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command =
      app.add_subcommand("report", "print the tables of a study or a load run, or the summary of a recording");
  command->add_option("file", options->file, "of a study, an eval or a recording")->type_name("FILE.bscope");
  command->add_option("--study", options->study, "the study to report, where the file holds several")
      ->type_name("NAME");
  command
      ->add_option("--where", options->where,
                   "only cells with this setting, by the keys of study files: --where link=pcie --where dtype=f16")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command
      ->add_option("--slo", options->slo, "of a study that generates: which requests are goodput, ttft=200ms,tpot=30ms")
      ->type_name("METRIC=TIME,…");
  command
      ->add_option("--session", options->session,
                   "the recording to report, where the file holds several (appended, merged); default: all")
      ->type_name("N");
  command
      ->add_option("--figures", options->figures,
                   "write figures into this folder, as SVG and as CSV: a study's, a load run's, or a recording's over time")
      ->type_name("FOLDER");
  command
      ->add_option("--from", options->from,
                   "start of the part of a recording that figures and page show, from the recording's start")
      ->type_name("TIME");
  command->add_option("--to", options->to, "end of that part")->type_name("TIME");
  command->add_flag("--verbose", options->verbose,
                    "of a recording also every counter, every gap and what sampling cost");
  options->json.add(*command, "the same numbers, unrounded, as JSON");
  options->html.add(*command);
  command->footer("Example:\n  batchscope report demo.bscope --html demo.html");
  command->callback([options, &exit_code] {
    report(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
