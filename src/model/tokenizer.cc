// Which tokenizer a folder has (model/tokenizer.h).
#include "model/tokenizer.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/input_warnings.h"
#include "base/json.h"
#include "model/pipeline_tokenizer.h"
#include "model/sentencepiece_model.h"
#include "model/sentencepiece_tokenizer.h"
#include "model/tokenizer_config.h"
#include "model/tokenizer_families.h"
#include "model/tokenizer_json.h"

namespace batchscope {
namespace {

namespace fs = std::filesystem;

bool has_file(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

TokenizerConfig read_config(const fs::path& folder) {
  TokenizerConfig config;
  const auto read = [&](const char* name, const auto& parse) {
    const fs::path path = folder / name;
    if (has_file(path)) parse(read_file(path), path.string());
  };
  read("tokenizer_config.json",
       [&](const std::string& text, const std::string& name) { config = parse_tokenizer_config(text, name); });
  if (config.lists_added) return config;
  read("special_tokens_map.json",
       [&](const std::string& text, const std::string& name) { add_special_tokens_map(text, name, config); });
  read("added_tokens.json",
       [&](const std::string& text, const std::string& name) { add_added_tokens(text, name, config); });
  return config;
}

// Named tokens that a class has when its configuration does not name them.
void default_tokens(TokenizerConfig& config, const std::vector<std::pair<const char*, const char*>>& tokens) {
  for (const auto& [name, content] : tokens) config.named.emplace(name, AddedToken{.content = content});
}

bool has_token(const PipelineModel& model, const std::string& content) {
  return std::any_of(model.added.begin(), model.added.end(),
                     [&](const AddedToken& token) { return token.content == content; });
}

bool is_named(const TokenizerConfig& config, const std::string& content) {
  return std::any_of(config.named.begin(), config.named.end(),
                     [&](const auto& each) { return each.second && each.second->content == content; });
}

// The tokens that the configuration adds, as transformers does it: one that is named is special. A named one that the
// vocabulary lacks stays away: it would get an id for which the model has no row.
void add_configured(const TokenizerConfig& config, PipelineModel& model) {
  for (const char* name : {"bos_token", "eos_token"})
    if (const auto token = config.token(name, std::nullopt)) model.prefixes.push_back(*token);
  for (AddedToken token : config.added) {
    token.special = token.special || is_named(config, token.content);
    model.added.push_back(std::move(token));
  }
  const auto add_known = [&](const AddedToken& token) {
    if (!has_token(model, token.content) && model.bpe.vocabulary.contains(token.content)) model.added.push_back(token);
  };
  for (const auto& [name, token] : config.named)
    if (token) add_known(*token);
  for (const AddedToken& token : config.extra) add_known(token);
}

// The named and the extra tokens once more, as nothing but special.
void add_plainly(const TokenizerConfig& config, PipelineModel& model) {
  std::vector<std::string> contents;
  for (const auto& [name, token] : config.named)
    if (token) contents.push_back(token->content);
  for (const AddedToken& token : config.extra) contents.push_back(token.content);
  for (const std::string& content : contents)
    if (has_token(model, content)) model.added.push_back({.content = content});
}

// Whose tokenizer.json says all.
constexpr std::array described_classes{"", "PreTrainedTokenizerFast", "TokenizersBackend", "PreTrainedTokenizer",
                                       "CodeLlamaTokenizer"};

[[noreturn]] void refuse_class(const fs::path& folder, const TokenizerConfig& config, std::string_view supported) {
  throw InputError("{}: tokenizer_class: not supported yet: {}; supported: {}",
                   (folder / "tokenizer_config.json").string(), quote(config.tokenizer_class), supported);
}

// tokenizer.json: what it says, unless the class has its own way; texts begin and end as it says in any case.
std::unique_ptr<Tokenizer> open_json(const fs::path& folder, TokenizerConfig config) {
  const fs::path path = folder / "tokenizer.json";
  const std::string content = read_file(path);
  PipelineModel model = parse_tokenizer_json(content, path.string());
  if (!config.lists_added) {
    config.added.insert(config.added.end(), model.added.begin(), model.added.end());
    std::stable_sort(config.added.begin(), config.added.end(),
                     [](const AddedToken& a, const AddedToken& b) { return *a.id < *b.id; });
  }
  const std::string& name = config.tokenizer_class;
  bool class_adds_again = false;  // its special tokens, without what was said of white space
  const bool is_byte_level = content.find("\"ByteLevel\"") != std::string::npos;
  if (name == "LlamaTokenizer" && !is_byte_level) {
    model.added.clear();
    make_llama(model, {config.legacy.value_or(false), config.add_prefix_space.value_or(true)});
    default_tokens(config, {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}});
  } else if (name == "GPT2Tokenizer" || name == "Qwen2Tokenizer") {
    model.added.clear();
    (name == "GPT2Tokenizer" ? make_gpt2 : make_qwen2)(model, config.add_prefix_space.value_or(false));
    class_adds_again = name == "Qwen2Tokenizer";
    default_tokens(config, {{"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}});
  } else if (name != "LlamaTokenizer" &&
             std::find(described_classes.begin(), described_classes.end(), name) == described_classes.end()) {
    warn_of_input(fmt::format("{}: tokenizer_class {} is not known; its tokenizer.json is used as it is",
                              (folder / "tokenizer_config.json").string(), quote(name)));
  }
  add_configured(config, model);
  if (class_adds_again) add_plainly(config, model);
  return make_pipeline_tokenizer(std::move(model), path.string());
}

TokenizerSettings sentencepiece_settings(const TokenizerConfig& config, const fs::path& folder) {
  const std::string config_name = (folder / "tokenizer_config.json").string();
  TokenizerSettings settings;
  settings.add_bos = config.add_bos.value_or(true);
  settings.add_eos = config.add_eos.value_or(false);
  settings.legacy = config.legacy.value_or(false);
  settings.bos = config.token("bos_token", "<s>");
  settings.eos = config.token("eos_token", "</s>");
  settings.unknown = config.token("unk_token", "<unk>");
  settings.added = config.added;
  if (settings.add_bos && !settings.bos)
    throw InputError("{}: bos_token: expected a text, as add_bos_token is true", config_name);
  if (settings.add_eos && !settings.eos)
    throw InputError("{}: eos_token: expected a text, as add_eos_token is true", config_name);
  return settings;
}

// LlamaTokenizer on a SentencePiece model that encodes by BPE.
PipelineModel sentencepiece_bpe(SentencePieceModel pieces, const TokenizerSettings& settings, TokenizerConfig config,
                                std::string_view origin) {
  PipelineModel model;
  for (std::size_t i = 0; i < pieces.pieces.size(); ++i) {
    model.bpe.vocabulary[pieces.pieces[i]] = static_cast<std::int32_t>(i);
    const bool control = pieces.types[i] == PieceType::control;
    if (control || pieces.types[i] == PieceType::user_defined)
      config.extra.push_back({.content = pieces.pieces[i], .special = control});
  }
  model.bpe.merges = merges_of_pieces(pieces.pieces, {}, origin);
  make_llama(model, {settings.legacy, config.add_prefix_space.value_or(true)});
  default_tokens(config, {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}});
  add_configured(config, model);
  const auto add = [&](const std::string& token, const char* where, std::vector<std::int32_t>& ids) {
    const auto found = model.bpe.vocabulary.find(token);
    if (found == model.bpe.vocabulary.end())
      throw InputError("{}: has no piece {} to {} texts with", origin, quote(token), where);
    ids.push_back(found->second);
  };
  if (settings.add_bos) add(*settings.bos, "begin", model.before);
  if (settings.add_eos) add(*settings.eos, "end", model.behind);
  return model;
}

std::unique_ptr<Tokenizer> open_sentencepiece(const fs::path& folder, const TokenizerConfig& config) {
  const fs::path path = folder / "tokenizer.model";
  const std::string& name = config.tokenizer_class;
  if (!name.empty() && name != "LlamaTokenizer" && name != "CodeLlamaTokenizer")
    refuse_class(folder, config, "LlamaTokenizer, or others with a tokenizer.json");
  const std::string content = read_file(path);
  SentencePieceModel model = parse_sentencepiece_model(content, path.string());
  const TokenizerSettings settings = sentencepiece_settings(config, folder);
  // transformers makes a pipeline of its own of the pieces, which differs from SentencePiece in runs of spaces. Where
  // nothing asks for that, the file means what its own library makes of it.
  if (model.kind == SentencePieceKind::bpe && has_file(folder / "tokenizer_config.json"))
    return make_pipeline_tokenizer(sentencepiece_bpe(std::move(model), settings, config, path.string()), path.string());
  if (!config.add_prefix_space.value_or(true))
    throw InputError("{}: add_prefix_space: expected true, found false (not supported for this tokenizer.model)",
                     (folder / "tokenizer_config.json").string());
  return make_sentencepiece_tokenizer(content, path.string(), settings);
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& folder) {
  if (has_file(folder / "tokenizer.json")) return open_json(folder, read_config(folder));
  if (has_file(folder / "tokenizer.model")) return open_sentencepiece(folder, read_config(folder));
  throw InputError("{}: neither tokenizer.json nor tokenizer.model in it; use a folder that has one of them",
                   folder.string());
}

}  // namespace batchscope
