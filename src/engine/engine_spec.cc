// Reads the value of --engine.
#include "engine/engine_spec.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "http/url.h"

namespace batchscope {
namespace {

constexpr std::string_view ours = "batchscope", command_prefix = "command:";

bool is_interpreter(const std::string& word) {
  constexpr std::array<std::string_view, 7> names{"python", "python3", "bash", "sh", "env", "uv", "ruby"};
  return std::find(names.begin(), names.end(), word) != names.end() || word.starts_with("python3.");
}

}  // namespace

std::vector<std::string> split_command(std::string_view text, std::string_view what) {
  std::vector<std::string> words;
  std::optional<std::string> word;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool is_space = c == ' ' || c == '\t' || c == '\n';
    if (quote == 0 && is_space) {
      if (word) words.push_back(*std::exchange(word, std::nullopt));
      continue;
    }
    if (!word) word.emplace();
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (quote != 0 && c == quote) {
      quote = 0;
    } else if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      *word += text[++i];
    } else {
      *word += c;
    }
  }
  if (quote != 0) throw InputError("{}: a quote {} is not closed in {}", what, quote, text);
  if (word) words.push_back(*word);
  return words;
}

EngineSpec parse_engine(const std::string& text, std::string_view what) {
  if (text == ours) return {};
  if (text.find('\0') != std::string::npos) throw InputError("{}: a command has no zero bytes", what);
  if (text.starts_with("http://") || text.starts_with("https://")) {
    http::parse_url(text, what);
    return {.kind = EngineSpec::Kind::server, .url = text};
  }
  if (!text.starts_with(command_prefix))
    throw InputError("{}: '{}' is not known; use batchscope, the address of a server such as http://localhost:8000/v1, or "
                     "command: and a program that speaks the protocol of docs/engines.md, such as \"command:python3 "
                     "my_engine.py\"",
                     what, text);
  EngineSpec spec{.kind = EngineSpec::Kind::command, .command = text.substr(command_prefix.size())};
  if (split_command(spec.command, what).empty())
    throw InputError("{}: command: names no program; give for example \"command:python3 my_engine.py\"", what);
  return spec;
}

std::string to_string(const EngineSpec& spec) {
  if (spec.is_server()) return spec.url;
  return spec.is_ours() ? std::string(ours) : std::string(command_prefix) + spec.command;
}

std::string label(const EngineSpec& spec) {
  if (spec.is_ours()) return std::string(ours);
  if (spec.is_server()) {
    const http::Url url = http::parse_url(spec.url, "engine");
    const bool is_plain = url.target == "/" || url.target == "/v1" || url.target == "/v1/";
    return url.host_header() + (is_plain ? "" : url.target);
  }
  std::vector<std::string> words = split_command(spec.command, "engine");
  for (std::string& word : words)
    if (!word.starts_with('-'))
      if (const std::string name = std::filesystem::path(word).filename().string(); !name.empty()) word = name;
  while (words.size() > 1 && is_interpreter(words.front())) words.erase(words.begin());
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace batchscope
