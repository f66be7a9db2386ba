// From tokenizer.ggml.* to a pipeline (model/gguf_tokenizer.h): the same ids as transformers 5 on the same file.
#include "model/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/input_warnings.h"
#include "base/json.h"
#include "model/pipeline_tokenizer.h"
#include "model/sentencepiece_model.h"
#include "model/tokenizer_families.h"
#include "model/tokenizer_json.h"
#include "model/unicode_text.h"

namespace batchscope {
namespace {

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens", types_key = "tokenizer.ggml.token_type",
                           scores_key = "tokenizer.ggml.scores", merges_key = "tokenizer.ggml.merges",
                           kind_key = "tokenizer.ggml.model", words_key = "tokenizer.ggml.pre";

constexpr std::string_view tekken_words =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view gpt4o_words =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view qwen35_words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

// A value of tokenizer.ggml.pre. LLaMA 3's vocabularies are used with their words whole where they are tokens, and
// texts begin with BOS unless the file says otherwise.
struct WordKind {
  std::string_view name;
  std::string_view pattern;
  bool whole_words = false, add_bos = false;
};
const std::vector<WordKind>& word_kinds() {
  static const std::vector<WordKind> kinds = {
      {"", gpt2_words},
      {"default", gpt2_words},
      {"gpt-2", gpt2_words},
      {"phi-2", gpt2_words},
      {"olmo", gpt2_words},
      {"smollm", gpt2_words},  // its merges never join digits
      {"llama3", llama3_words, true, true},
      {"llama-v3", llama3_words, true, true},
      {"llama-bpe", llama3_words, true, true},
      {"falcon3", llama3_words, true, true},
      {"falcon-h1", llama3_words, true, true},
      {"pixtral", llama3_words, true, true},
      {"midm-2.0", llama3_words, true, true},
      {"lfm2", llama3_words, true, true},
      {"dbrx", llama3_words},
      {"smaug-bpe", llama3_words},
      {"tekken", tekken_words, true, true},
      {"qwen2", qwen2_words},
      {"deepseek-r1-qwen", qwen2_words},
      {"megrez", qwen2_words},
      {"qwen35", qwen35_words},
      {"gpt-4o", gpt4o_words},
      {"llama4", gpt4o_words},
  };
  return kinds;
}

// What was written before files named how words are cut, or by a converter that did not know the tokenizer.
// Vocabularies that are known by their special tokens are cut as their models' are.
std::string_view recognised(const std::vector<std::string>& tokens) {
  const auto has = [&](std::string_view token) {
    return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
  };
  const auto is_at = [&](std::size_t id, std::string_view token) { return id < tokens.size() && tokens[id] == token; };
  if (has("<|begin_of_text|>") && has("<|end_of_text|>")) return "llama-bpe";
  if (is_at(151643, "<|endoftext|>")) return "qwen2";
  if (is_at(50256, "<|endoftext|>")) return "gpt-2";
  if (tokens.size() == 131072 && has("[INST]")) return "tekken";
  return "";
}

const WordKind& word_kind(const Gguf& file, const std::vector<std::string>& tokens) {
  std::string_view name = file.text(words_key, "");
  const auto& kinds = word_kinds();
  if (name.empty() || name == "default") {
    const std::string_view known = recognised(tokens);
    if (known.empty())
      warn_of_input(
          fmt::format("{} {}, and the vocabulary is not a known one: words are cut by GPT-2's rule; if the "
                      "model's is another, tokens and answers are not its own. Convert the model again with a "
                      "current llama.cpp, or use its Hugging Face folder",
                      file.name(words_key), name.empty() ? "is missing" : "is \"default\""));
    else
      name = known;
  }
  const auto found = std::find_if(kinds.begin(), kinds.end(), [&](const WordKind& kind) { return kind.name == name; });
  if (found != kinds.end()) return *found;
  std::string known;
  for (const WordKind& kind : kinds)
    if (!kind.name.empty()) known += (known.empty() ? "" : ", ") + std::string(kind.name);
  throw InputError("{}: not supported yet: {}; supported: {}", file.name(words_key), quote(name), known);
}

class TokenizerReader {
 public:
  explicit TokenizerReader(const Gguf& file) : file_(file) {}

  PipelineModel read() {
    const std::string_view kind = file_.text(kind_key);
    if (kind != "llama" && kind != "gpt2")
      throw InputError("{}: not supported yet: {}; supported: llama, gpt2", file_.name(kind_key), quote(kind));
    read_tokens();
    if (kind == "llama") {
      read_llama();
    } else {
      read_gpt2();
    }
    add_named_tokens(kind == "llama");
    return std::move(model_);
  }

 private:
  void read_tokens();
  void read_llama();
  void read_gpt2();
  bool read_merges();
  void add_marked_tokens(bool byte_level);
  void add_named_tokens(bool llama);
  std::optional<std::int32_t> special_id(std::string_view key, std::optional<std::int64_t> fallback) const;
  void set_begin_and_end(bool add_bos, std::optional<std::int64_t> bos, std::optional<std::int64_t> eos);

  const Gguf& file_;
  std::vector<std::string> tokens_;
  std::vector<std::int64_t> types_;  // PieceType, a token; or empty
  PipelineModel model_;
};

void TokenizerReader::read_tokens() {
  for (const std::string_view token : file_.texts(tokens_key)) {
    tokens_.push_back(well_formed(token));
    if (tokens_.back() != token)
      throw InputError("{}: token {}, {}, is not UTF-8", file_.name(tokens_key), tokens_.size() - 1, quote(token));
  }
  if (tokens_.empty()) file_.refuse(tokens_key, "a list of tokens");
  if (!file_.has(types_key)) return;
  types_ = file_.integers(types_key, 0, 1000);
  if (types_.size() != tokens_.size())
    throw InputError("{}: {} types for {} tokens", file_.name(types_key), types_.size(), tokens_.size());
}

bool TokenizerReader::read_merges() {
  if (!file_.has(merges_key)) return false;
  for (const std::string_view merge : file_.texts(merges_key)) {
    const std::size_t space = merge.find(' ');
    if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos)
      throw InputError("{}: merge {}, {}, is not two tokens", file_.name(merges_key), model_.bpe.merges.size(),
                       quote(merge));
    model_.bpe.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return true;
}

void TokenizerReader::read_llama() {
  for (std::size_t i = 0; i < tokens_.size(); ++i) model_.bpe.vocabulary[tokens_[i]] = static_cast<std::int32_t>(i);
  if (!read_merges()) {
    const std::vector<float> scores = file_.numbers(scores_key);
    if (scores.size() != tokens_.size())
      throw InputError("{}: {} scores for {} tokens", file_.name(scores_key), scores.size(), tokens_.size());
    for (const float score : scores)
      if (score != score) file_.refuse(scores_key, "numbers");
    model_.bpe.merges = merges_of_pieces(tokens_, scores, file_.origin());
  }
  make_llama(model_, {.add_prefix_space = file_.boolean("tokenizer.ggml.add_space_prefix", true)});
  add_marked_tokens(false);
  set_begin_and_end(true, 1, 2);
}

// Whether every character stands for a byte.
bool is_byte_level(std::string_view token) {
  for (std::size_t at = 0; at < token.size();) {
    const CodePoint next = code_point_at(token, at);
    if (byte_of_character(next.value) < 0) return false;
    at += next.bytes;
  }
  return true;
}

void TokenizerReader::read_gpt2() {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    std::string spelled;
    if (is_byte_level(tokens_[i])) {
      spelled = tokens_[i];
    } else {
      for (const char c : tokens_[i]) append_byte_character(static_cast<unsigned char>(c), spelled);
    }
    model_.bpe.vocabulary[spelled] = static_cast<std::int32_t>(i);
  }
  if (!read_merges()) file_.refuse(merges_key, "a list of merges");
  const WordKind& words = word_kind(file_, tokens_);
  model_.decoders.emplace();
  set_byte_level(model_, words.pattern, false);
  model_.bpe.ignore_merges = words.whole_words;
  add_marked_tokens(true);
  set_begin_and_end(words.add_bos, {}, {});
}

// Control tokens are special, user-defined ones are not; both are cut out of texts. In a byte-level vocabulary one
// that is not spelled so is a piece of text with the wrong mark.
void TokenizerReader::add_marked_tokens(bool byte_level) {
  for (const PieceType type : {PieceType::control, PieceType::user_defined})
    for (std::size_t i = 0; i < types_.size(); ++i)
      if (types_[i] == static_cast<std::int64_t>(type) && (!byte_level || is_byte_level(tokens_[i])))
        model_.added.push_back({.content = tokens_[i], .special = type == PieceType::control});
}

std::optional<std::int32_t> TokenizerReader::special_id(std::string_view key,
                                                        std::optional<std::int64_t> fallback) const {
  const auto count = static_cast<std::int64_t>(tokens_.size());
  if (file_.has(key)) return file_.token(key, count);
  return fallback && *fallback < count ? std::optional(static_cast<std::int32_t>(*fallback)) : std::nullopt;
}

void TokenizerReader::set_begin_and_end(bool add_bos, std::optional<std::int64_t> bos,
                                        std::optional<std::int64_t> eos) {
  const auto add = [&](const char* flag, bool by_default, std::string_view key, std::optional<std::int64_t> fallback,
                       std::vector<std::int32_t>& ids) {
    if (!file_.boolean(flag, by_default)) return;
    const auto id = special_id(key, fallback);
    if (!id) file_.refuse(key, fmt::format("a token id, as {} is true", flag));
    ids.push_back(*id);
  };
  add("tokenizer.ggml.add_bos_token", add_bos, "tokenizer.ggml.bos_token_id", bos, model_.before);
  add("tokenizer.ggml.add_eos_token", false, "tokenizer.ggml.eos_token_id", eos, model_.behind);
}

void TokenizerReader::add_named_tokens(bool llama) {
  const auto add = [&](const std::string& token) {
    if (model_.bpe.vocabulary.contains(token)) model_.added.push_back({.content = token});
  };
  for (const char* name : {"bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id"}) {
    const auto id = special_id(fmt::format("tokenizer.ggml.{}", name), {});
    if (!id) continue;
    add(tokens_[static_cast<std::size_t>(*id)]);
    if (const std::string_view is(name); is == "bos_token_id" || is == "eos_token_id")
      model_.prefixes.push_back(tokens_[static_cast<std::size_t>(*id)]);
  }
  if (llama) {
    for (const char* token : {"<unk>", "<s>", "</s>"}) add(token);
  } else {
    add("<|endoftext|>");
  }
}

}  // namespace

std::unique_ptr<Tokenizer> make_gguf_tokenizer(const Gguf& file) {
  return make_pipeline_tokenizer(TokenizerReader(file).read(), file.origin());
}

}  // namespace batchscope
