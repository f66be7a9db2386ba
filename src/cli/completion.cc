// `batchscope completion`: what a shell needs to complete our command line, from the definitions that --help shows.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/values.h"

namespace batchscope::cli {
namespace {

constexpr std::array<std::string_view, 2> shells{"bash", "zsh"};

enum class Takes { nothing, anything, words, files, folder, command };

// A flag, or an argument without one, as shells see it.
struct Argument {
  std::vector<std::string> names{};  // "--output", "-o"; none of an argument without a flag
  std::string help{}, type{};
  Takes takes = Takes::nothing;
  Values values{};       // of words
  std::string ending{};  // of files: ".bscope", or "" for all
  bool is_optional = false, is_repeatable = false;
};

struct Verb {
  std::string name{}, help{};
  std::vector<Argument> flags{}, others{};
};

// ".bscope" of the type FILE.bscope; "" where it says none.
std::string ending_of(std::string_view type) {
  const std::size_t dot = type.find('.');
  if (dot == std::string_view::npos) return "";
  const std::size_t end = type.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-", dot + 1);
  return std::string(end > dot + 1 ? type.substr(dot, std::min(end, type.size()) - dot) : "");
}

Argument describe(CLI::Option& option) {
  Argument argument{.help = option.get_description(),
                    .type = option.get_type_name(),
                    .values = values_of(option),
                    .ending = ending_of(option.get_type_name()),
                    .is_optional = option.get_items_expected_min() == 0,
                    .is_repeatable = option.get_items_expected_max() > 1};
  for (const std::string& name : option.get_lnames()) argument.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) argument.names.push_back("-" + name);
  const std::string_view type = argument.type;
  if (option.get_items_expected_max() == 0) {
    argument.takes = Takes::nothing;
  } else if (!argument.values.words.empty()) {
    argument.takes = Takes::words;
  } else if (type.starts_with("FILE") || type == "PATH" || !argument.ending.empty()) {
    argument.takes = Takes::files;
  } else {
    argument.takes = type == "CMD" ? Takes::command : type == "FOLDER" ? Takes::folder : Takes::anything;
  }
  return argument;
}

Verb describe(CLI::App& app) {
  Verb verb{.name = app.get_name(), .help = app.get_description()};
  for (CLI::Option* option : app.get_options())
    if (option->nonpositional())
      verb.flags.push_back(describe(*option));
    else
      verb.others.push_back(describe(*option));
  return verb;
}

// All verbs that --help shows.
std::vector<Verb> verbs_of(CLI::App& app) {
  std::vector<Verb> verbs;
  for (CLI::App* verb : app.get_subcommands([](CLI::App* one) { return !one->get_group().empty(); }))
    verbs.push_back(describe(*verb));
  return verbs;
}

// Within '…' of a shell.
std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) c == '\'' ? out += "'\\''" : out += c;
  return out + "'";
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  return fmt::format("{}", fmt::join(words, between));
}

std::vector<std::string> names_of(const std::vector<Argument>& flags) {
  std::vector<std::string> names;
  for (const Argument& flag : flags) names.insert(names.end(), flag.names.begin(), flag.names.end());
  return names;
}

// Words of the command line come by position: $word is to be completed, $before stands in front of it.
constexpr std::string_view bash_functions = R"bash(
_batchscope_words() { COMPREPLY=($(compgen -W "$1" -- "$word")); }

_batchscope_list() {
  local first=
  [[ $word != *,* ]] || first=${word%,*},
  compopt -o nospace 2>/dev/null
  COMPREPLY=($(compgen -P "$first" -W "$1" -- "${word##*,}"))
}

_batchscope_files() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -X "!*$1" -- "$word"; [[ -z $1 ]] || compgen -d -- "$word")
}

_batchscope_folder() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -d -- "$word")
}

_batchscope_command() {
  if [[ $before == -- ]]; then COMPREPLY=($(compgen -c -- "$word")); else _batchscope_files ''; fi
}
)bash";

std::string bash_action(const Argument& argument) {
  switch (argument.takes) {
    case Takes::words:
      return fmt::format("_batchscope_{} {}", argument.values.is_list ? "list" : "words",
                         in_quotes(joined(argument.values.words, " ")));
    case Takes::files:
      return "_batchscope_files " + in_quotes(argument.ending);
    case Takes::folder:
      return "_batchscope_folder";
    case Takes::command:
      return "_batchscope_command";
    case Takes::nothing:
    case Takes::anything:
      break;
  }
  return ":";
}

std::string bash_verb(const Verb& verb) {
  std::string text = fmt::format("    {})\n      [[ $rest ]] || case $before in\n", verb.name);
  std::vector<std::string> unknown;  // flags with values that nothing can be said of
  for (const Argument& flag : verb.flags) {
    const std::string action = bash_action(flag), names = joined(flag.names, " | ");
    if (flag.takes == Takes::anything)
      unknown.insert(unknown.end(), flag.names.begin(), flag.names.end());
    else if (flag.is_optional && flag.takes != Takes::nothing)
      text += fmt::format("        {}) [[ $word == -* ]] || {{ {}; return; }} ;;\n", names, action);
    else if (flag.takes != Takes::nothing)
      text += fmt::format("        {}) {}; return ;;\n", names, action);
  }
  if (!unknown.empty()) text += fmt::format("        {}) return ;;\n", joined(unknown, " | "));
  text += "      esac\n";
  const std::string flags = "_batchscope_words " + in_quotes(joined(names_of(verb.flags), " "));
  if (verb.others.empty()) return text + fmt::format("      [[ $rest ]] || {}\n      ;;\n", flags);
  return text + fmt::format("      if [[ $word == -* && -z $rest ]]; then {}; else {}; fi\n      ;;\n", flags,
                            bash_action(verb.others.front()));
}

std::string bash_script(const Verb& program, const std::vector<Verb>& verbs) {
  std::vector<std::string> first;
  for (const Verb& verb : verbs) first.push_back(verb.name);
  for (const std::string& name : names_of(program.flags)) first.push_back(name);
  std::string text = fmt::format(
      "# Completes batchscope's command line in bash. Made by `batchscope completion bash`.\n{}", bash_functions);
  text += R"bash(
_batchscope() {
  local IFS=$' \t\n' word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb= rest= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    if [[ ${COMP_WORDS[i]} == -- ]]; then rest=yes; break; fi  # no flags behind it
    [[ $verb || ${COMP_WORDS[i]} == -* ]] || verb=${COMP_WORDS[i]}
  done
  # Bash makes a word of the = in --flag=value.
  if [[ $word == = ]]; then word=; elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD - 2]}; fi
  case $verb in
)bash";
  text += fmt::format("    '') _batchscope_words {} ;;\n", in_quotes(joined(first, " ")));
  for (const Verb& verb : verbs) text += bash_verb(verb);
  return text + "  esac\n}\n\ncomplete -F _batchscope batchscope\n";
}

// In a specification of zsh's _arguments.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(const Argument& argument) {
  switch (argument.takes) {
    case Takes::words:
      return argument.values.is_list ? fmt::format("_values -s , value {}", joined(argument.values.words, " "))
                                     : fmt::format("({})", joined(argument.values.words, " "));
    case Takes::files:
      return argument.ending.empty() ? "_files" : fmt::format("_files -g \"*{}\"", argument.ending);
    case Takes::folder:
      return "_files -/";
    case Takes::command:
      return "_normal";
    case Takes::nothing:
    case Takes::anything:
      break;
  }
  return "";
}

std::string zsh_value(const Argument& argument) {
  if (argument.takes == Takes::nothing) return "";
  return fmt::format("{}{}:{}", argument.is_optional && !argument.names.empty() ? "::" : ":",
                     argument.type.empty() ? "value" : escaped(argument.type), zsh_action(argument));
}

// One flag under each of its names, which exclude each other.
std::string zsh_flag(const Argument& flag) {
  std::string text;
  for (const std::string& name : flag.names) {
    const bool is_long = name.starts_with("--") && flag.takes != Takes::nothing && !flag.is_optional;
    text += fmt::format(
        " \\\n        {}",
        in_quotes(fmt::format("{}{}{}[{}]{}", flag.is_repeatable ? "*" : fmt::format("({})", joined(flag.names, " ")),
                              name, is_long ? "=" : "", escaped(flag.help), zsh_value(flag))));
  }
  return text;
}

std::string zsh_verb(const Verb& verb) {
  std::string text = fmt::format("      {}) _arguments", verb.name);
  for (const Argument& flag : verb.flags) text += zsh_flag(flag);
  for (const Argument& other : verb.others) {
    const char* every = other.takes == Takes::command ? "*:" : other.is_repeatable ? "*" : "";
    text += fmt::format(" \\\n        {}", in_quotes(every + zsh_value(other)));
  }
  return text + " && result=0 ;;\n";
}

std::string zsh_script(const Verb& program, const std::vector<Verb>& verbs) {
  std::string text =
      "#compdef batchscope\n"
      "# Completes batchscope's command line in zsh. Made by `batchscope completion zsh`.\n\n"
      "_batchscope() {\n"
      "  local context state state_descr line result=1\n"
      "  typeset -A opt_args\n"
      "  _arguments -C";
  for (const Argument& flag : program.flags) text += zsh_flag(flag);
  text +=
      " \\\n        '1:verb:->verb' '*::argument:->argument' && result=0\n"
      "  case $state in\n"
      "    verb)\n"
      "      local -a verbs=(\n";
  for (const Verb& verb : verbs) text += fmt::format("        {}\n", in_quotes(verb.name + ":" + verb.help));
  text +=
      "      )\n"
      "      _describe -t verbs verb verbs && result=0\n"
      "      ;;\n"
      "    argument) case $words[1] in\n";
  for (const Verb& verb : verbs) text += zsh_verb(verb);
  return text +
         "    esac ;;\n"
         "  esac\n"
         "  return result\n"
         "}\n\n"
         "# Found by its name in $fpath it is called at once; sourced, it is registered.\n"
         "if [[ $funcstack[1] == _batchscope ]]; then _batchscope \"$@\"; else compdef _batchscope batchscope; fi\n";
}

}  // namespace

void add_completion(CLI::App& app, int& exit_code) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("completion", "print a script by which a shell completes verbs, flags and files");
  CLI::Option* option =
      command->add_option("shell", *shell, fmt::format("{}", fmt::join(shells, " | ")))->type_name("SHELL");
  set_values(*option, shells);
  command->footer(
      "Examples, for ~/.bashrc, and for ~/.zshrc after compinit:\n"
      "  source <(batchscope completion bash)\n"
      "  source <(batchscope completion zsh)");
  command->callback([&app, shell, &exit_code] {
    if (std::find(shells.begin(), shells.end(), *shell) == shells.end())
      throw InputError("completion: {} is not a supported shell; use one of {}", quote(*shell),
                       fmt::join(shells, ", "));
    const auto write = *shell == "bash" ? bash_script : zsh_script;
    print(write(describe(app), verbs_of(app)));
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
