// batchscope's entry: the command line, and how every error becomes one line and an exit code.
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/pattern_formatter.h>
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
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/process_start.h"
#include "base/thread_limit.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/foreign_flags.h"
#include "cli/interrupt.h"
#include "cli/libraries.h"
#include "cli/openmp_wait.h"
#include "cli/output.h"
#include "cli/processes.h"
#include "comm/launcher.h"
#include "report/text.h"
#include "study/environment.h"

namespace batchscope::cli {
namespace {

struct Command {
  AddCommand add;
  const char* group;  // of --help; "" hides it
};

// Options in lines of 80 columns, as a person writes them: CLI11 leaves long descriptions to the terminal, and shows
// how it counts and what it excludes.
class Formatter : public CLI::Formatter {
 public:
  Formatter() { column_width(option_column); }
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    const std::string name = "  " + (is_positional ? type_of(option) : names_of(option) + make_option_opts(option));
    const std::string text = wrap(description_of(option), terminal_columns - option_column, 0);
    const std::string margin(option_column, ' ');
    std::string out = text_width(name) + 2 <= option_column ? pad_right(name, option_column) : name + "\n" + margin;
    for (const char c : text) out += c == '\n' ? "\n" + margin : std::string(1, c);
    return out + "\n";
  }
  std::string make_subcommand(const CLI::App* verb) const override {
    const std::string margin(option_column, ' ');
    const std::string text = wrap(verb->get_description(), terminal_columns - option_column, 0);
    std::string out = pad_right("  " + verb->get_name(), option_column);
    for (const char c : text) out += c == '\n' ? "\n" + margin : std::string(1, c);
    return out + "\n";
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_type_size() == 0 || option->get_type_name().empty() ? "" : " " + option->get_type_name();
  }
  std::string make_option_usage(const CLI::Option* option) const override {
    const std::string type = type_of(option);
    const bool is_list = option->get_expected_max() > 1;
    const std::string shown = type + (is_list && !type.ends_with("…") ? "…" : "");
    return option->get_required() ? shown : "[" + shown + "]";
  }
  // CLI11's own, but with the program's name.
  std::string make_usage(const CLI::App* app, std::string name) const override {
    const bool is_verb = app->get_parent() != nullptr;
    if (!is_verb) return "Usage: batchscope VERB [OPTIONS] …\n";
    return CLI::Formatter::make_usage(app, "batchscope " + name);
  }

 private:
  static std::string type_of(const CLI::Option* option) {
    return option->get_type_name().empty() ? option->get_name(true) : option->get_type_name();
  }
  static std::string names_of(const CLI::Option* option) {
    std::string out;
    for (const std::string& name : option->get_snames()) out += (out.empty() ? "-" : ", -") + name;
    for (const std::string& name : option->get_lnames()) out += (out.empty() ? "--" : ", --") + name;
    return out;
  }
  std::string description_of(const CLI::Option* option) const {
    std::string text = make_option_desc(option);
    if (text.starts_with("Print this help message")) text = "this text";
    std::string usual = option->get_default_str();
    if (usual.starts_with('[') && usual.ends_with(']')) usual = usual.substr(1, usual.size() - 2);
    if (!usual.empty() && text.find("default") == std::string::npos) text += fmt::format(" (default: {})", usual);
    return text;
  }

  static constexpr std::size_t option_column = 28;
};

constexpr Command commands[] = {
    {add_devices, "look"},     {add_doctor, "look"},     {add_calibrate, "look"},   {add_record, "observe"},
    {add_top, "observe"},      {add_replay, "observe"},  {add_serve, "observe"},    {add_mark, "observe"},
    {add_overhead, "observe"}, {add_eval, "run"},        {add_generate, "run"},     {add_serve_model, "run"},
    {add_load, "run"},         {add_mock_server, "run"}, {add_plan, "plan"},        {add_study, "study"},
    {add_ablate, "study"},     {add_report, "read"},     {add_compare, "read"},     {add_export, "read"},
    {add_sql, "read"},         {add_merge, "read"},      {add_completion, "shell"}, {add_worker, ""},
};

// Verbs that compute in this process.
// A plan and a study measure what operations take.
bool computes(const std::string& verb) {
  constexpr std::array verbs{"eval", "generate", "serve-model", "worker", "plan", "study", "ablate"};
  return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
}

void add_commands(CLI::App& app, int& exit_code) {
  app.description("Measures what batch size, parallelism and kernel fusion cost LLM inference.");
  app.set_version_flag("--version", "batchscope " + version_text(),
                       "print the version; with --verbose, those of the libraries too");
  app.require_subcommand(1);
  app.formatter(std::make_shared<Formatter>());
  for (const Command& command : commands) {
    const auto before = app.get_subcommands({}).size();
    command.add(app, exit_code);
    const auto added = app.get_subcommands({});
    for (std::size_t i = before; i < added.size(); ++i) added[i]->group(command.group);
  }
  // A flag takes one word, again and again if need be: one that took more would take `--` and the command behind it.
  for (CLI::App* verb : app.get_subcommands({}))
    for (CLI::Option* option : verb->get_options())
      if (!option->get_positional()) option->allow_extra_args(false);
  app.footer(
      "batchscope help VERB explains a verb and its flags. Example:\n"
      "  batchscope eval --parallel tp4 --fusion on --batch 16");
}

// "help eval" is "eval --help".
std::vector<std::string> with_help_last(const CLI::App& app, const std::vector<std::string>& words) {
  if (words.empty() || words[0] != "help") return words;
  if (words.size() == 1) return {"--help"};
  const auto verbs = app.get_subcommands({});
  const bool is_verb =
      std::any_of(verbs.begin(), verbs.end(), [&](const CLI::App* verb) { return verb->get_name() == words[1]; });
  return is_verb ? std::vector<std::string>{words[1], "--help"} : std::vector<std::string>{words[1]};
}

// Of processes that a launcher started together one says what all of them met, and gives the code: a launcher ends the
// others as soon as any ends with one.
int complain(ExitCode code, const std::string& message) {
  if (!speaks()) return 0;
  std::string line = message;
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::fputs(fmt::format("batchscope: {}\n", visible(line)).c_str(), stderr);
  return static_cast<int>(code);
}

// What is logged names what files hold, too.
class VisibleMessage : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    const std::string text = visible(std::string_view(message.payload.data(), message.payload.size()));
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<VisibleMessage>(); }
};

void log_to_stderr() {
  spdlog::set_default_logger(spdlog::stderr_color_st("batchscope"));  // standard output is for results
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<VisibleMessage>('*').set_pattern("batchscope: %l: %*");
  spdlog::set_formatter(std::move(formatter));
}

// The verb or flag that an unknown word was meant to be; "" where nothing is near.
std::string meant(const CLI::App& app, const std::string& word) {
  std::vector<std::string> known;
  if (!word.starts_with('-'))
    for (const CLI::App* verb : app.get_subcommands({})) known.push_back(verb->get_name());
  else
    for (const CLI::Option* option : app.get_options())
      for (const std::string& name : option->get_lnames())
        if (name != "help" && name != "version") known.push_back("--" + name);
  if (const std::string ours = our_name_of(word); !ours.empty()) {
    const std::string flag = ours.substr(0, ours.find(' '));
    if (std::find(known.begin(), known.end(), flag) != known.end() || flag == "-o") return ours;
  }
  return nearest(word, known);
}

const CLI::App& chosen(const CLI::App& app) {
  const CLI::App* verb = &app;
  while (!verb->get_subcommands().empty()) verb = verb->get_subcommands().front();
  return *verb;
}

// What nobody expected: the first such word, flags before others, and what it may have been meant for.
std::optional<std::string> unknown_word(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App& verb = chosen(app);
  const bool no_verb = &verb == &app;
  std::vector<std::string> extras;
  if (no_verb)
    extras = words;
  else
    extras = verb.remaining();
  if (extras.empty()) return std::nullopt;
  const auto flag = std::find_if(extras.begin(), extras.end(), [](const auto& word) { return word.starts_with("-"); });
  const std::string word = flag != extras.end() && !no_verb ? *flag : extras.front();
  const std::string near = meant(verb, word);
  return fmt::format("'{}' is not {}{}", word,
                     no_verb ? std::string("a verb") : fmt::format("an argument of {}", verb.get_name()),
                     near.empty() ? "" : fmt::format("; did you mean {}?", near));
}

// CLI11's own complaints, --help and --version.
int parse_ended(const CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& words) {
  if (!speaks()) return 0;
  if (error.get_exit_code() != 0) {
    const bool unexpected =
        dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr || chosen(app).get_parent() == nullptr;
    const auto word = unexpected ? unknown_word(app, words) : std::nullopt;
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
    if (std::find(words.begin(), words.end(), "--verbose") != words.end()) print(libraries_text());
  }
  return 0;
}

int run(int count, char** arguments) {
  int exit_code = 0;
  CLI::App app;
  app.name("batchscope");
  add_commands(app, exit_code);
  const std::vector<std::string> words =
      in_our_spelling(app, with_help_last(app, {arguments + std::min(count, 1), arguments + count}));
  std::vector<std::string> reversed(words.rbegin(), words.rend());  // as CLI11 takes them
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    return parse_ended(app, error, words);
  }
  return exit_code;
}

}  // namespace
}  // namespace batchscope::cli

int main(int count, char** arguments) {
  using namespace batchscope;
  if (count > 1 && cli::computes(arguments[1])) cli::wait_briefly_in_openmp(arguments);
  take_over_process();
  signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error where we write, not a death
  signal(SIGXFSZ, SIG_IGN);  // likewise a file that has reached the limit of its size
  cli::log_to_stderr();
  cli::exit_on_interrupt();
  // Until it has joined the others the launcher alone knows why it ends this process.
  if (launched()) cli::is_one_of_several(false);
  try {
    return cli::run(count, arguments);
  } catch (const Error& error) {
    return cli::complain(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return cli::complain(ExitCode::out_of_memory, "the host is out of memory; use a smaller batch or model");
  } catch (const std::system_error& error) {
    if (is_lack_of_threads(error))
      return cli::complain(ExitCode::failed, std::string("no more threads can be started here; ") + more_threads);
    const bool of_files = dynamic_cast<const std::filesystem::filesystem_error*>(&error) != nullptr;
    if (!of_files) return cli::complain(ExitCode::failed, fmt::format("unexpected: {}", error.what()));
    return cli::complain(ExitCode::bad_input, error.what());
  } catch (const std::exception& error) {
    return cli::complain(ExitCode::failed, fmt::format("unexpected: {}", error.what()));
  }
}
