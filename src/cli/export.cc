// `batchscope export`: a .bscope file for other programs: tables as CSV or JSON lines, a Perfetto trace, or a
// load run in the files of other load generators.
#include "report/export/export.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/values.h"
#include "report/export/peer_formats.h"
#include "report/export/perfetto.h"
#include "report/load_report.h"
#include "report/text.h"
#include "store/store.h"

namespace batchscope::cli {
namespace {

constexpr std::array<std::string_view, 6> formats{"csv", "jsonl", "perfetto", "vllm", "guidellm", "aiperf"};

struct ExportOptions {
  std::string file, format = "csv", tables, output = "-";
};

// Whoever read our standard output has had enough: no error, but nothing is left to do.
struct ReaderLeft {};

std::vector<std::string_view> names_of_tables() {
  std::vector<std::string_view> names;
  for (const ExportTable& table : export_tables()) names.push_back(table.name);
  return names;
}

const ExportTable& find_table(std::string_view name) {
  const auto tables = export_tables();
  const auto found = std::find_if(tables.begin(), tables.end(), [&](const auto& table) { return table.name == name; });
  if (found != tables.end()) return *found;
  const std::string near = nearest(name, names_of_tables());
  throw InputError("--table: {} is not a table; {}", quote(name),
                   near.empty() ? fmt::format("choose from {}", fmt::join(names_of_tables(), ","))
                                : fmt::format("did you mean {}?", near));
}

// "cells,items" as tables; all of them for "".
std::vector<const ExportTable*> parse_tables(const std::string& text) {
  std::vector<const ExportTable*> tables;
  if (text.empty())
    for (const ExportTable& table : export_tables()) tables.push_back(&table);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const ExportTable* table = &find_table(std::string_view(text).substr(begin, end - begin));
    if (std::find(tables.begin(), tables.end(), table) == tables.end()) tables.push_back(table);
    begin = end + 1;
  }
  return tables;
}

using Write = std::function<void(const ByteSink&)>;

void write_whole_file(const std::filesystem::path& path, const Write& write, const std::atomic<bool>& interrupted) {
  OutputFile file(path);
  write([&](std::string_view bytes) {
    if (interrupted) throw Interrupted(fmt::format("interrupted; {} was not written", path.string()));
    file.write(bytes);
  });
  file.commit();
}

void write_to(const std::string& destination, const Write& write) {
  const InterruptFlag interrupt;
  if (destination != "-") return write_whole_file(destination, write, interrupt.flag());
  try {
    write([&](std::string_view bytes) {
      if (interrupt.flag()) throw Interrupted();
      if (!print(bytes)) throw ReaderLeft();
    });
  } catch (const ReaderLeft&) {
  }
}

// All tables are written before any has its place: a folder that is new appears whole, in one that exists the files
// of these names are replaced at the end.
void export_folder(const StoreReader& reader, const std::vector<const ExportTable*>& tables, RowFormat format,
                   std::string_view ending, std::filesystem::path folder) {
  if (folder.filename().empty()) folder = folder.parent_path();  // "out/"
  const bool exists = std::filesystem::exists(folder);
  if (exists && !std::filesystem::is_directory(folder))
    throw InputError("-o {}: it is a file, and several tables need a folder; name one, or choose one --table",
                     folder.string());
  if (!exists) check_destination(folder.string(), "-o");  // its own folder is there, and can be written to
  const std::string temporary = fmt::format("part-{}", getpid());
  const TemporaryFolder part(exists ? folder / temporary : std::filesystem::path(folder.string() + "." + temporary));
  const InterruptFlag interrupt;
  std::vector<std::string> files;
  for (const ExportTable* table : tables) {
    files.push_back(fmt::format("{}.{}", table->name, ending));
    write_whole_file(
        part.path() / files.back(), [&](const ByteSink& out) { export_table(reader, *table, format, out); },
        interrupt.flag());
  }
  if (!exists) return std::filesystem::rename(part.path(), folder);
  for (const std::string& file : files) std::filesystem::rename(part.path() / file, folder / file);
}

void export_trace(const StoreReader& reader, const ExportOptions& options) {
  if (!options.tables.empty()) throw InputError("--table: a Perfetto trace holds the whole file; leave --table out");
  if (options.output == "-" && isatty(STDOUT_FILENO) == 1)
    throw InputError("export: a Perfetto trace is binary and this is a terminal; name a file with -o");
  check_destination(options.output, "-o");
  write_to(options.output, [&](const ByteSink& out) { export_perfetto(reader, out); });
}

// AIPerf's files have fixed names and lie in a folder of their own; its records alone are one output.
void export_aiperf(const LoadReport& report, const std::string& destination) {
  const AiperfFiles files = to_aiperf_files(report);
  if (destination == "-") return write_to(destination, [&](const ByteSink& out) { out(files.records); });
  const std::filesystem::path folder = destination;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!std::filesystem::is_directory(folder))
    throw InputError("-o {}: AIPerf's files need a folder{}{}", destination, error ? ": " : "", error.message());
  write_file_atomically(folder / "profile_export.jsonl", files.records);
  write_file_atomically(folder / "profile_export_aiperf.json", files.summary_json);
  write_file_atomically(folder / "profile_export_aiperf.csv", files.summary_csv);
}

// A load run in the files of another load generator.
void export_load(const ExportOptions& options) {
  const std::vector<LoadReport> reports = read_load_reports(options.file);
  if (reports.empty()) throw InputError("--format {} is of load runs; {} holds none", options.format, options.file);
  if (!options.tables.empty()) throw InputError("--table: --format {} has no tables; leave it out", options.format);
  if (options.format != "guidellm" && reports.size() != 1)
    throw InputError("--format {} is of one load run; {} holds {}", options.format, options.file, reports.size());
  if (options.format == "aiperf") return export_aiperf(reports.front(), options.output);
  check_destination(options.output, "-o");
  const nlohmann::json json = options.format == "vllm" ? to_vllm_json(reports.front()) : to_guidellm_json(reports);
  const std::string text = json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  write_to(options.output, [&](const ByteSink& out) { out(text); });
}

void run_export(const ExportOptions& options) {
  if (options.file.empty()) throw InputError("export: name the .bscope file of a study, an eval or a recording");
  if (std::find(formats.begin(), formats.end(), options.format) == formats.end())
    throw InputError("--format: {} is not known; use one of {}", quote(options.format), fmt::join(formats, ", "));
  const auto tables = parse_tables(options.tables);
  const StoreReader reader(options.file);
  if (options.format == "perfetto") return export_trace(reader, options);
  if (options.format != "csv" && options.format != "jsonl") return export_load(options);
  const RowFormat format = options.format == "csv" ? RowFormat::csv : RowFormat::jsonl;
  if (tables.size() > 1 && options.output == "-")
    throw InputError("export: several tables need a folder; name it with -o, or choose one --table: {}",
                     fmt::join(names_of_tables(), ", "));
  if (tables.size() > 1 || std::filesystem::is_directory(options.output))
    return export_folder(reader, tables, format, options.format, options.output);
  check_destination(options.output, "-o");
  write_to(options.output, [&](const ByteSink& out) { export_table(reader, *tables.front(), format, out); });
}

}  // namespace

void add_export(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command =
      app.add_subcommand("export", "write tables, a Perfetto trace, or a load run as other load generators do");
  command->add_option("file", options->file, "of a study, an eval or a recording")->type_name("FILE.bscope");
  CLI::Option* format = command->add_option("--format", options->format, fmt::format("{}", fmt::join(formats, " | ")))
                            ->type_name("FORMAT")
                            ->capture_default_str();
  set_values(*format, formats);
  CLI::Option* tables =
      command->add_option("--table", options->tables, "one or more of those below, separated by commas (default: all)")
          ->type_name("TABLES");
  set_values(*tables, names_of_tables(), true);
  command
      ->add_option("-o,--output", options->output,
                   "a file for one table, trace or result, a folder for several; - is standard output")
      ->type_name("PATH")
      ->capture_default_str();
  command->footer(wrap(fmt::format("Tables: {}.", fmt::join(names_of_tables(), ", ")), terminal_columns, 2) +
                  "\n"
                  "Numbers are unrounded; what is unknown is empty in CSV and null in JSON.\n"
                  "A trace (phases, cells, counters) opens in ui.perfetto.dev. Of a load run, vllm\n"
                  "is the result of vllm bench serve, guidellm a benchmarks.json, and aiperf a\n"
                  "folder with profile_export.jsonl and summaries (to -, the records alone).\n"
                  "Examples:\n"
                  "  batchscope export demo.bscope --table cells > cells.csv\n"
                  "  batchscope export demo.bscope --format jsonl -o demo/\n"
                  "  batchscope export demo.bscope --format perfetto -o demo.perfetto-trace\n"
                  "  batchscope export load.bscope --format guidellm -o benchmarks.json");
  command->callback([options, &exit_code] {
    run_export(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
