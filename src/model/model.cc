// From what the user named to configuration, weights and tokenizer (model/model.h).
#include "model/model.h"

#include <cstdlib>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "model/gguf_tokenizer.h"

namespace batchscope {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view embedded_model = "models/tiny";

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// The folder or GGUF file that the user named, or the embedded model's folder.
fs::path path_of(const ModelSource& source) {
  if (source.path.empty()) return embedded_file(std::string(embedded_model));
  fs::path path(source.path);
  if (!is_there(path))
    throw InputError("model {}: there is no such folder or file; check the path", quote(source.path));
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  if (!folder && !is_gguf_path(path))
    throw InputError("model {}: it is a file; name a Hugging Face folder with its config.json, or a GGUF file ….gguf",
                     quote(source.path));
  if (folder && !is_there(path / "config.json"))
    throw InputError("model {}: no config.json in it; name a Hugging Face folder or a GGUF file", quote(source.path));
  return path;
}

}  // namespace

ModelConfig read_config(const ModelSource& source) {
  if (!source.random_shape.empty()) return parse_model_shape(source.random_shape);
  const fs::path path = path_of(source);
  return is_gguf_path(path) ? read_gguf_config(path) : read_huggingface_config(path);
}

std::unique_ptr<WeightSource> open_weights(const ModelSource& source, const ModelConfig& config) {
  if (!source.random_shape.empty()) return random_weights(config, source.seed);
  const fs::path path = path_of(source);
  return is_gguf_path(path) ? open_gguf(path, config) : open_safetensors(path, config);
}

std::unique_ptr<Tokenizer> open_tokenizer(const ModelSource& source, const ModelConfig& config) {
  const fs::path path = path_of(source);
  auto tokenizer = is_gguf_path(path) ? make_gguf_tokenizer(Gguf(path)) : open_tokenizer(path);
  if (tokenizer->vocabulary() > config.vocabulary)
    throw InputError("{}: the tokenizer has {} pieces, the model {} rows in its embedding; they do not belong together",
                     path.string(), tokenizer->vocabulary(), config.vocabulary);
  return tokenizer;
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
