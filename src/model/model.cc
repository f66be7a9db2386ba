// From what the user named to configuration, weights and tokenizer (model/model.h).
#include "model/model.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <optional>
#include <span>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/input_warnings.h"
#include "base/json.h"
#include "model/gguf_checkpoint.h"
#include "model/gguf_tokenizer.h"

namespace batchscope {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view embedded_model = "models/tiny";

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

[[noreturn]] void refuse(const fs::path& path, std::string_view is, std::string_view to_do) {
  throw InputError("model {}: {}; {}", quote(path.string()), is, to_do);
}

[[noreturn]] void refuse_missing(const std::string& path) {
  const auto slashes = std::count(path.begin(), path.end(), '/');
  if (slashes == 1 && path.front() != '/' && path.front() != '.' && path.back() != '/' && !path.ends_with(".gguf") &&
      !is_there(fs::path(path).parent_path()))
    refuse(path, "there is no such folder or file, and models are not fetched from the Hub",
           fmt::format("fetch it with: hf download {} --local-dir FOLDER, and name that folder", path));
  refuse(path, "there is no such folder or file", "check the path");
}

[[noreturn]] void refuse_file(const fs::path& path) {
  const std::string name = path.filename().string();
  if (fs::is_regular_file(path)) {
    std::array<char, 64> first{};
    std::ifstream file(path, std::ios::binary);
    file.read(first.data(), first.size());
    refuse_foreign_kind(std::string_view(first.data(), static_cast<std::size_t>(file.gcount())), path.string());
  }
  if (path.extension() == ".gguf") refuse(path, "it is not a GGUF file", "download it again");
  if (path.extension() == ".safetensors" || name == "config.json")
    refuse(path, "it is a file of a model's folder", "name the folder, which has config.json and tokenizer, too");
  refuse(path, "it is a file", "name a Hugging Face folder with its config.json, or a GGUF file");
}

// The first entry, by name, that a function likes; "" without one.
std::string first_entry(const fs::path& folder, const std::function<bool(const std::string&)>& is_it) {
  std::string first;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (is_it(name) && (first.empty() || name < first)) first = name;
  }
  return first;
}

// A folder without config.json: what it is instead, as far as people have such ones.
[[noreturn]] void refuse_folder(const fs::path& path) {
  const auto begins = [&](std::string_view begin) {
    return first_entry(path, [&](const std::string& name) { return name.starts_with(begin); });
  };
  if (is_there(path / "adapter_config.json"))
    refuse(path, "it is a LoRA adapter, not a model",
           "merge it into its base model (peft: merge_and_unload(), then save_pretrained()) and name that folder");
  if (is_there(path / "snapshots")) {
    const std::string snapshot = first_entry(path / "snapshots", [](const std::string&) { return true; });
    refuse(path, "it is a model's folder in Hugging Face's cache",
           snapshot.empty() ? "it has no snapshot; download the model again"
                            : "name the snapshot in it: " + (path / "snapshots" / snapshot).string());
  }
  if (const std::string model = begins("models--"); !model.empty())
    refuse(path, "it is Hugging Face's cache",
           "name a snapshot in it: " + (path / model / "snapshots").string() + "/…");
  if (const std::string weights = begins("consolidated."); !weights.empty() || is_there(path / "params.json"))
    refuse(path, "it is in Meta's own form (consolidated.…, params.json)",
           "convert it with transformers' convert_llama_weights_to_hf.py, or download the Hugging Face form");
  const std::string gguf = first_entry(path, [](const std::string& name) { return name.ends_with(".gguf"); });
  if (!gguf.empty()) refuse(path, "no config.json in it, but a GGUF file", "name that: " + (path / gguf).string());
  const std::string inner =
      first_entry(path, [&](const std::string& name) { return is_there(path / name / "config.json"); });
  if (!inner.empty()) refuse(path, "no config.json in it", "name the folder that has one: " + (path / inner).string());
  refuse(path, "no config.json in it", "name a Hugging Face folder or a GGUF file");
}

}  // namespace

fs::path checkpoint_path(const ModelSource& source) {
  if (source.path.empty()) return embedded_file(std::string(embedded_model));
  fs::path path(source.path);
  if (!is_there(path)) refuse_missing(source.path);
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    if (!is_there(path / "config.json")) refuse_folder(path);
  } else if (!is_gguf_file(path)) {
    refuse_file(path);
  }
  return path;
}

namespace {

// A tokenizer with more pieces than the model has rows for: added tokens, as a rule, that no text holds.
class BoundedTokenizer : public Tokenizer {
 public:
  BoundedTokenizer(std::unique_ptr<Tokenizer> tokenizer, std::int64_t rows, std::string origin)
      : tokenizer_(std::move(tokenizer)), rows_(rows), origin_(std::move(origin)) {}

  std::vector<std::int32_t> encode(std::string_view text) const override {
    auto tokens = tokenizer_->encode(text);
    for (const std::int32_t token : tokens)
      if (token >= rows_)
        throw InputError(
            "{}: the text {} has token {} ({}), but the model has {} rows in its embedding; they do not "
            "belong together, or the text must go without it",
            origin_, quote(text), token, quote(tokenizer_->decode({{token}})), rows_);
    return tokens;
  }
  std::string decode(std::span<const std::int32_t> tokens) const override { return tokenizer_->decode(tokens); }
  std::int64_t vocabulary() const override { return rows_; }
  std::optional<std::int32_t> prefix() const override {
    const auto token = tokenizer_->prefix();
    return token && *token < rows_ ? token : std::nullopt;
  }

 private:
  std::unique_ptr<Tokenizer> tokenizer_;
  std::int64_t rows_;
  std::string origin_;
};

}  // namespace

ModelConfig read_config(const ModelSource& source) {
  if (!source.random_shape.empty()) return parse_model_shape(source.random_shape);
  const fs::path path = checkpoint_path(source);
  return is_gguf_file(path) ? read_gguf_config(path) : read_huggingface_config(path);
}

bool has_quantised_weights(const ModelSource& source) {
  if (!source.random_shape.empty() || !is_gguf_file(source.path)) return false;
  try {
    return GgufCheckpoint(source.path).is_quantised();
  } catch (const InputError&) {
    return false;
  }
}

std::unique_ptr<WeightSource> open_weights(const ModelSource& source, const ModelConfig& config) {
  if (!source.random_shape.empty()) return random_weights(config, source.seed);
  const fs::path path = checkpoint_path(source);
  return is_gguf_file(path) ? open_gguf(path, config) : open_safetensors(path, config);
}

std::unique_ptr<Tokenizer> open_tokenizer(const ModelSource& source, const ModelConfig& config) {
  const fs::path path = checkpoint_path(source);
  auto tokenizer = is_gguf_file(path) ? make_gguf_tokenizer(Gguf(path)) : open_tokenizer(path);
  if (tokenizer->vocabulary() <= config.vocabulary) return tokenizer;
  warn_of_input(
      fmt::format("{}: the tokenizer has {} pieces, the model {} rows in its embedding; a text that needs one of "
                  "the others is refused",
                  path.string(), tokenizer->vocabulary(), config.vocabulary));
  return std::make_unique<BoundedTokenizer>(std::move(tokenizer), config.vocabulary, path.string());
}

std::filesystem::path embedded_file(const std::string& name) {
  std::vector<fs::path> places;
  if (const char* home = std::getenv("BATCHSCOPE_HOME"); home != nullptr && *home != '\0') places.emplace_back(home);
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  places.push_back(program.parent_path() / "share" / "batchscope");
  for (fs::path above = program; above.has_relative_path(); above = above.parent_path())
    if (is_there(above / embedded_model)) places.push_back(above);
  places.push_back(
      fs::path(__FILE__).parent_path().parent_path().parent_path());  // src/model/model.cc of the source tree
  for (const fs::path& place : places)
    if (is_there(place / name)) return place / name;
  throw InputError("{} is not installed with this program; set BATCHSCOPE_HOME to the folder that holds it", name);
}

}  // namespace batchscope
