// Which tokenizer a folder has, and tokenizer_config.json (model/tokenizer.h).
#include "model/tokenizer.h"

#include <array>
#include <charconv>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "model/sentencepiece_tokenizer.h"

namespace batchscope {
namespace {

using nlohmann::json;

constexpr std::int64_t largest_id = (1 << 24) - 1;

AddedToken parse_added_token(const JsonObject& token) {
  AddedToken result;
  result.content = token.text("content");
  result.special = token.boolean("special", true);
  result.strip_left = token.boolean("lstrip", false);
  result.strip_right = token.boolean("rstrip", false);
  if (token.boolean("single_word", false)) token.refuse("single_word", "false (true is not supported yet)");
  return result;
}

// "bos_token": a text, an object with its content, or null; absent keeps what LlamaTokenizer has.
void read_named_token(const JsonObject& file, std::string_view key, std::optional<std::string>& token) {
  const auto found = file.value().find(key);
  if (found == file.value().end()) return;
  if (found->is_object()) {
    token = parse_added_token(file.object(key)).content;
  } else if (found->is_null()) {
    token.reset();
  } else {
    token = file.text(key);
  }
  if (token && token->empty()) file.refuse(key, "a text that is not empty, or null");
}

void read_added_tokens(const JsonObject& file, TokenizerSettings& settings) {
  if (!file.has("added_tokens_decoder")) return;
  const JsonObject tokens = file.object("added_tokens_decoder");
  for (const auto& [key, value] : tokens.value().items()) {
    std::int32_t id = 0;
    const auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || stop != key.data() + key.size() || id < 0 || id > largest_id)
      throw InputError("{}: expected a token id from 0 to {} as the key", tokens.name(key), largest_id);
    AddedToken token = parse_added_token(tokens.object(key));
    if (token.content.empty()) tokens.refuse(key, "a token whose content is not empty");
    token.id = id;
    settings.added.push_back(std::move(token));
  }
}

}  // namespace

TokenizerSettings parse_tokenizer_config(std::string_view text, std::string_view origin) {
  const json content = parse_json(text, origin);
  const JsonObject file(content, std::string(origin));
  constexpr std::array classes{"LlamaTokenizer", "LlamaTokenizerFast"};
  const std::string type = file.text("tokenizer_class", classes.front());
  if (type != classes[0] && type != classes[1])
    throw InputError("{}: not supported yet: {}; supported: LlamaTokenizer", file.name("tokenizer_class"), quote(type));
  if (!file.boolean("add_prefix_space", true)) file.refuse("add_prefix_space", "true (not supported yet)");
  TokenizerSettings settings;
  settings.add_bos = file.boolean("add_bos_token", true);
  settings.add_eos = file.boolean("add_eos_token", false);
  settings.legacy = file.boolean("legacy", true);
  read_named_token(file, "bos_token", settings.bos);
  read_named_token(file, "eos_token", settings.eos);
  read_named_token(file, "unk_token", settings.unknown);
  if (settings.add_bos && !settings.bos) file.refuse("bos_token", "a text, as add_bos_token is true");
  if (settings.add_eos && !settings.eos) file.refuse("eos_token", "a text, as add_eos_token is true");
  read_added_tokens(file, settings);
  return settings;
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& folder) {
  std::error_code ignored;
  const auto model = folder / "tokenizer.model";
  const auto config = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(model, ignored)) {
    const bool other = std::filesystem::exists(folder / "tokenizer.json", ignored);
    throw InputError("{}: no tokenizer.model in it{}; use a model folder with a SentencePiece model", folder.string(),
                     other ? ", and tokenizer.json is not supported yet" : "");
  }
  TokenizerSettings settings;
  if (std::filesystem::exists(config, ignored)) settings = parse_tokenizer_config(read_file(config), config.string());
  return make_sentencepiece_tokenizer(read_file(model), model.string(), settings);
}

}  // namespace batchscope
