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
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/openmp_wait.h"
#include "cli/output.h"
#include "report/text.h"
#include "study/environment.h"

namespace batchscope::cli {
namespace {

struct Command {
  AddCommand add;
  const char* group;  // of --help; "" hides it
};

// Options in lines of 80 columns: CLI11 leaves long descriptions to the terminal.
class Formatter : public CLI::Formatter {
 public:
  Formatter() { column_width(option_column); }
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    const std::string name = "  " + make_option_name(option, is_positional) + make_option_opts(option);
    const std::string text = wrap(make_option_desc(option), terminal_columns - option_column, 0);
    const std::string margin(option_column, ' ');
    std::string out = text_width(name) + 2 <= option_column ? pad_right(name, option_column) : name + "\n" + margin;
    for (const char c : text) out += c == '\n' ? "\n" + margin : std::string(1, c);
    return out + "\n";
  }

 private:
  static constexpr std::size_t option_column = 28;
};

constexpr Command commands[] = {
    {add_devices, "look"},     {add_doctor, "look"},    {add_calibrate, "look"}, {add_record, "observe"},
    {add_top, "observe"},      {add_replay, "observe"}, {add_serve, "observe"},  {add_mark, "observe"},
    {add_overhead, "observe"}, {add_eval, "run"},       {add_generate, "run"},   {add_plan, "plan"},
    {add_study, "study"},      {add_ablate, "study"},   {add_report, "read"},    {add_compare, "read"},
    {add_export, "read"},      {add_sql, "read"},       {add_merge, "read"},     {add_completion, "shell"},
    {add_worker, ""},
};

// Verbs that compute in this process.
bool computes(const std::string& verb) { return verb == "eval" || verb == "generate" || verb == "worker"; }

void add_commands(CLI::App& app, int& exit_code) {
  app.description("Measures what batch size, parallelism and kernel fusion cost LLM inference.");
  app.set_version_flag("--version", "batchscope " + version_text());
  app.require_subcommand(1);
  app.formatter(std::make_shared<Formatter>());
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

// The verb or flag that an unknown word was meant to be; "" where nothing is near.
std::string meant(const CLI::App& app, const std::string& word) {
  std::vector<std::string> known;
  if (!word.starts_with('-'))
    for (const CLI::App* verb : app.get_subcommands({})) known.push_back(verb->get_name());
  else
    for (const CLI::Option* option : app.get_options())
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  return nearest(word, known);
}

const CLI::App& chosen(const CLI::App& app) {
  const CLI::App* verb = &app;
  while (!verb->get_subcommands().empty()) verb = verb->get_subcommands().front();
  return *verb;
}

// What nobody expected: the first such word, flags before others, and what it may have been meant for.
std::optional<std::string> unknown_word(const CLI::App& app, int count, char** arguments) {
  const CLI::App& verb = chosen(app);
  const bool no_verb = &verb == &app;
  std::vector<std::string> extras;
  if (no_verb)
    extras.assign(arguments + std::min(count, 1), arguments + count);
  else
    extras = verb.remaining();
  if (extras.empty()) return std::nullopt;
  const auto flag = std::find_if(extras.begin(), extras.end(), [](const auto& word) { return word.starts_with("--"); });
  const std::string word = flag != extras.end() && !no_verb ? *flag : extras.front();
  const std::string near = meant(verb, word);
  return fmt::format("'{}' is not {}{}", word,
                     no_verb ? std::string("a verb") : fmt::format("an argument of {}", verb.get_name()),
                     near.empty() ? "" : fmt::format("; did you mean {}?", near));
}

// CLI11's own complaints, --help and --version.
int parse_ended(const CLI::App& app, const CLI::ParseError& error, int count, char** arguments) {
  if (error.get_exit_code() != 0) {
    const bool unexpected =
        dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr || chosen(app).get_parent() == nullptr;
    const auto word = unexpected ? unknown_word(app, count, arguments) : std::nullopt;
    return complain(ExitCode::bad_input,
                    fmt::format("{}; see {} --help", word.value_or(error.what()),
                                (chosen(app).get_parent() == nullptr ? std::string("batchscope")
                                                                     : "batchscope " + chosen(app).get_name())));
  }
  if (dynamic_cast<const CLI::CallForHelp*>(&error) != nullptr) {
    print(chosen(app).help());
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
    return parse_ended(app, error, count, arguments);
  }
  return exit_code;
}

}  // namespace
}  // namespace batchscope::cli

int main(int count, char** arguments) {
  using namespace batchscope;
  if (count > 1 && cli::computes(arguments[1])) cli::wait_briefly_in_openmp(arguments);
  signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error where we write, not a death
  signal(SIGXFSZ, SIG_IGN);  // likewise a file that has reached the limit of its size
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
