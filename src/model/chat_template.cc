// Where checkpoints have their chat template (model/chat_template.h).
#include "model/chat_template.h"

#include <array>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "model/gguf.h"
#include "model/tokenizer_config.h"

namespace batchscope {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view key = "chat_template";

std::optional<ChatTemplate> of_gguf(const Gguf& file) {
  const std::string source(file.text("tokenizer.chat_template", ""));
  if (source.empty()) return std::nullopt;
  ChatTemplate found{.source = source};
  constexpr std::string_view tokens_key = "tokenizer.ggml.tokens";
  if (!file.has(tokens_key)) return found;
  const auto tokens = file.texts(tokens_key);
  constexpr std::array<std::pair<const char*, std::string_view>, 4> ids{
      {{"bos_token", "tokenizer.ggml.bos_token_id"},
       {"eos_token", "tokenizer.ggml.eos_token_id"},
       {"unk_token", "tokenizer.ggml.unknown_token_id"},
       {"pad_token", "tokenizer.ggml.padding_token_id"}}};
  for (const auto& [name, id_key] : ids)
    if (const auto id = file.token(id_key, std::ssize(tokens)))
      found.special_tokens[name] = tokens[static_cast<std::size_t>(*id)];
  return found;
}

// One text, or a list of {"name", "template"}.
std::string source_of(const JsonObject& file) {
  const nlohmann::json* value = file.find(key);
  if (value == nullptr) return "";
  if (value->is_string()) return value->get<std::string>();
  if (!value->is_array()) file.refuse(key, "a text, or a list of named ones");
  std::string found;
  for (const nlohmann::json& each : *value) {
    if (!each.is_object()) file.refuse(key, "a text, or a list of named ones");
    const JsonObject named(each, file.where(), std::string(key) + ".");
    if (found.empty() || named.text("name") == "default") found = named.text("template");
  }
  return found;
}

ChatTemplate config_of(std::string_view text, std::string_view origin) {
  const nlohmann::json content = parse_json(text, origin);
  ChatTemplate found{.source = source_of(JsonObject(content, std::string(origin)))};
  for (const auto& [name, token] : parse_tokenizer_config(text, origin).named)
    if (token) found.special_tokens[name] = token->content;
  return found;
}

}  // namespace

std::optional<ChatTemplate> parse_chat_template(std::string_view text, std::string_view origin) {
  ChatTemplate found = config_of(text, origin);
  return found.source.empty() ? std::nullopt : std::optional(std::move(found));
}

std::optional<ChatTemplate> read_chat_template(const ModelSource& source) {
  const fs::path path = checkpoint_path(source);
  if (is_gguf_file(path)) return of_gguf(Gguf(path));
  std::error_code ignored;
  const fs::path config = path / "tokenizer_config.json", alone = path / "chat_template.jinja";
  ChatTemplate found;
  if (fs::exists(config, ignored)) found = config_of(read_file(config), config.string());
  if (fs::exists(alone, ignored)) found.source = read_file(alone);
  return found.source.empty() ? std::nullopt : std::optional(std::move(found));
}

}  // namespace batchscope
