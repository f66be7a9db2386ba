// Reading tokenizer_config.json and its neighbours (model/tokenizer_config.h).
#include "model/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "model/tokenizer_json.h"

namespace batchscope {
namespace {

using nlohmann::json;


std::optional<bool> optional_boolean(const JsonObject& file, std::string_view key) {
  return file.has(key) ? std::optional(file.boolean(key)) : std::nullopt;
}

// A special token: its text, or an object.
AddedToken parse_special_token(const JsonObject& file, std::string_view key, const json& value) {
  AddedToken token;
  if (value.is_object()) {
    token = parse_added_token(JsonObject(value, file.where(), std::string(key) + "."), true);
  } else if (value.is_string() && !value.get_ref<const std::string&>().empty()) {
    token.content = value.get<std::string>();
  } else {
    file.refuse(key, "a text that is not empty, or null");
  }
  token.special = true;
  return token;
}

void read_named_tokens(const JsonObject& file, TokenizerConfig& config) {
  for (const auto& [key, value] : file.value().items()) {
    const bool is_standard = key == "bos_token" || key == "eos_token" || key == "unk_token" || key == "pad_token" ||
                             key == "sep_token" || key == "cls_token" || key == "mask_token";
    if (!is_standard && !(key.ends_with("_token") && value.is_string())) continue;
    if (value.is_null()) {
      config.named[key] = std::nullopt;
    } else {
      config.named[key] = parse_special_token(file, key, value);
    }
  }
}

void read_extra_tokens(const JsonObject& file, TokenizerConfig& config) {
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const json* list = file.find(key);
    if (list == nullptr) continue;
    if (list->is_object()) {  // name -> token
      for (const auto& [name, value] : list->items()) config.named[name] = parse_special_token(file, key, value);
      continue;
    }
    if (!list->is_array()) file.refuse(key, "a list of tokens");
    for (const json& value : *list) config.extra.push_back(parse_special_token(file, key, value));
  }
}

void read_added_tokens(const JsonObject& file, TokenizerConfig& config) {
  if (!file.has("added_tokens_decoder")) return;
  config.lists_added = true;
  const JsonObject tokens = file.object("added_tokens_decoder");
  for (const auto& [key, value] : tokens.value().items()) {
    std::int32_t id = 0;
    const auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || stop != key.data() + key.size() || id < 0 || id > largest_token_id)
      throw InputError("{}: expected a token id from 0 to {} as the key", tokens.name(key), largest_token_id);
    AddedToken token = parse_added_token(tokens.object(key), true);
    token.id = id;
    config.added.push_back(std::move(token));
  }
  std::sort(config.added.begin(), config.added.end(),
            [](const AddedToken& a, const AddedToken& b) { return *a.id < *b.id; });
}

}  // namespace

std::optional<std::string> TokenizerConfig::token(const std::string& name, std::optional<std::string> fallback) const {
  const auto found = named.find(name);
  if (found == named.end()) return fallback;
  return found->second ? std::optional(found->second->content) : std::nullopt;
}

TokenizerConfig parse_tokenizer_config(std::string_view text, std::string_view origin) {
  const json content = parse_json(text, origin);
  const JsonObject file(content, std::string(origin));
  TokenizerConfig config;
  config.tokenizer_class = file.text("tokenizer_class", "");
  if (config.tokenizer_class != "PreTrainedTokenizerFast" && config.tokenizer_class.ends_with("Fast"))
    config.tokenizer_class.resize(config.tokenizer_class.size() - 4);
  if (file.boolean("split_special_tokens", false)) file.refuse("split_special_tokens", "false (not supported yet)");
  config.add_bos = optional_boolean(file, "add_bos_token");
  config.add_eos = optional_boolean(file, "add_eos_token");
  config.legacy = optional_boolean(file, "legacy");
  config.add_prefix_space = optional_boolean(file, "add_prefix_space");
  read_named_tokens(file, config);
  read_extra_tokens(file, config);
  read_added_tokens(file, config);
  return config;
}

void add_special_tokens_map(std::string_view text, std::string_view origin, TokenizerConfig& config) {
  const json content = parse_json(text, origin);
  const JsonObject file(content, std::string(origin));
  read_named_tokens(file, config);
  read_extra_tokens(file, config);
}

void add_added_tokens(std::string_view text, std::string_view origin, TokenizerConfig& config) {
  const json content = parse_json(text, origin);
  const JsonObject file(content, std::string(origin));
  for (const auto& entry : file.value().items()) {
    const std::string& token = entry.key();
    if (token.empty()) file.refuse(token, "a token that is not empty");
    AddedToken added{.content = token, .id = static_cast<std::int32_t>(file.integer(token, 0, largest_token_id))};
    const auto is_it = [&token = token](const AddedToken& each) { return each.content == token; };
    added.special = std::any_of(config.extra.begin(), config.extra.end(), is_it) ||
                    std::any_of(config.named.begin(), config.named.end(),
                                [&](const auto& each) { return each.second && is_it(*each.second); });
    added.normalized = !added.special;
    config.added.push_back(std::move(added));
  }
  std::sort(config.added.begin(), config.added.end(),
            [](const AddedToken& a, const AddedToken& b) { return *a.id < *b.id; });
}

}  // namespace batchscope
