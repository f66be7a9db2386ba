// One file a subcommand: each adds itself to the command line and says how it ended.
#pragma once

#include <CLI/CLI.hpp>

namespace batchscope::cli {

// Adds the subcommand; when the user chose it, its callback runs it and leaves the exit code in `exit_code`.
// Errors are thrown (base/error.h): main prints their line and returns their code.
using AddCommand = void (*)(CLI::App& app, int& exit_code);

void add_devices(CLI::App& app, int& exit_code);
void add_doctor(CLI::App& app, int& exit_code);
void add_calibrate(CLI::App& app, int& exit_code);
void add_record(CLI::App& app, int& exit_code);
void add_top(CLI::App& app, int& exit_code);
void add_replay(CLI::App& app, int& exit_code);
void add_serve(CLI::App& app, int& exit_code);
void add_serve_model(CLI::App& app, int& exit_code);
void add_load(CLI::App& app, int& exit_code);
void add_mock_server(CLI::App& app, int& exit_code);
void add_mark(CLI::App& app, int& exit_code);
void add_overhead(CLI::App& app, int& exit_code);
void add_eval(CLI::App& app, int& exit_code);
void add_generate(CLI::App& app, int& exit_code);
void add_plan(CLI::App& app, int& exit_code);
void add_study(CLI::App& app, int& exit_code);
void add_worker(CLI::App& app, int& exit_code);
void add_ablate(CLI::App& app, int& exit_code);
void add_compare(CLI::App& app, int& exit_code);
void add_report(CLI::App& app, int& exit_code);
void add_sql(CLI::App& app, int& exit_code);
void add_merge(CLI::App& app, int& exit_code);
void add_export(CLI::App& app, int& exit_code);
void add_completion(CLI::App& app, int& exit_code);

}  // namespace batchscope::cli
