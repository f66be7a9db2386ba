// batchscope's entry: the command line, and how every error becomes one line and an exit code.
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <string>

#include "base/error.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "study/environment.h"

namespace batchscope::cli {
namespace {

struct Command {
  AddCommand add;
  const char* group;  // of --help; "" hides it
};

constexpr Command commands[] = {
    {add_devices, "look"}, {add_doctor, "look"}, {add_record, "observe"}, {add_eval, "run"}, {add_generate, "run"},
    {add_plan, "plan"},    {add_study, "study"}, {add_report, "read"},    {add_worker, ""},
};

void add_commands(CLI::App& app, int& exit_code) {
  app.description("Measures what batch size, parallelism and kernel fusion cost LLM inference.");
  app.set_version_flag("--version", "batchscope " + version_text());
  app.require_subcommand(1);
  app.get_formatter()->column_width(28);
  for (const Command& command : commands) {
    const auto before = app.get_subcommands({}).size();
    command.add(app, exit_code);
    const auto added = app.get_subcommands({});
    for (std::size_t i = before; i < added.size(); ++i) added[i]->group(command.group);
  }
  app.footer("Every verb has its own --help. Example:\n  batchscope eval --parallel tp4 --fusion on --batch 16");
}

int complain(ExitCode code, const std::string& message) {
  std::string line = message;
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::fputs(fmt::format("batchscope: {}\n", line).c_str(), stderr);
  return static_cast<int>(code);
}

// CLI11's own complaints, --help and --version.
int parse_ended(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() != 0)
    return complain(ExitCode::bad_input, fmt::format("{}; see --help", std::string(error.what())));
  if (dynamic_cast<const CLI::CallForHelp*>(&error) != nullptr) {
    const CLI::App* asked = &app;
    while (!asked->get_subcommands().empty()) asked = asked->get_subcommands().front();
    print(asked->help());
  } else if (dynamic_cast<const CLI::CallForAllHelp*>(&error) != nullptr) {
    print(app.help("", CLI::AppFormatMode::All));
  } else {
    print(std::string(error.what()) + "\n");
  }
  return 0;
}

int run(int count, char** arguments) {
  int exit_code = 0;
  CLI::App app;
  app.name("batchscope");
  add_commands(app, exit_code);
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    return parse_ended(app, error);
  }
  return exit_code;
}

}  // namespace
}  // namespace batchscope::cli

int main(int count, char** arguments) {
  using namespace batchscope;
  signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error where we write, not a death
  spdlog::set_default_logger(spdlog::stderr_color_st("batchscope"));  // standard output is for results
  spdlog::set_pattern("batchscope: %l: %v");
  cli::exit_on_interrupt();
  try {
    return cli::run(count, arguments);
  } catch (const Error& error) {
    return cli::complain(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return cli::complain(ExitCode::out_of_memory, "the host is out of memory; use a smaller batch or model");
  } catch (const std::filesystem::filesystem_error& error) {
    return cli::complain(ExitCode::bad_input, error.what());
  } catch (const std::exception& error) {
    return cli::complain(ExitCode::failed, fmt::format("unexpected: {}", error.what()));
  }
}
