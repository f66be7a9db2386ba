// `batchscope sql`: a SELECT over a .bscope file.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "cli/command.h"
#include "cli/output.h"
#include "report/query_text.h"
#include "store/query.h"

namespace batchscope::cli {
namespace {

struct SqlOptions {
  std::string file, statement, output = "-", format = "table";
};

void sql(const SqlOptions& options) {
  const QueryFormat format = parse_query_format(options.format, "--format");
  check_destination(options.output, "-o");
  StoreQuery query(options.file, options.statement);
  bool whole = true;
  if (options.output == "-") {
    whole = write_rows(query, format, stdout_has_colour(), print);
  } else {
    OutputFile file(options.output);
    whole = write_rows(query, format, false, [&](std::string_view piece) {
      file.write(piece);
      return true;
    });
    file.commit();
  }
  if (!whole)
    warn(fmt::format("there are more rows than the {} of a table; use --format csv, or LIMIT", most_table_rows));
}

}  // namespace

void add_sql(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<SqlOptions>();
  CLI::App* command = app.add_subcommand("sql", "query a .bscope file, read-only");
  command->add_option("file", options->file, "of a study, an eval or a recording")
      ->type_name("FILE.bscope")
      ->required();
  command->add_option("statement", options->statement, "one SELECT, in SQLite's dialect")
      ->type_name("SELECT")
      ->required();
  command->add_option("--format", options->format, "table (default), csv, json or jsonl")->type_name("FORMAT");
  command->add_option("-o,--output", options->output, "write the rows here; - (default) is standard output")
      ->type_name("FILE");
  command->footer(
      "Views for reading: cell_results, item_results, device_results, link_results,\n"
      "ledger_results, phase_times, sample_means, attempt_settings; docs/formats.md has\n"
      "their columns. Ctrl-C ends a query that takes too long.\n"
      "Example:\n"
      "  batchscope sql demo.bscope \"SELECT strategy, batch, seconds FROM cell_results\"");
  command->callback([options, &exit_code] {
    sql(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
