// Shapes without weights, by a known name, a config.json, or sizes written out (parse_model_shape of model/config.h).
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "model/config.h"
#include "model/named_shapes.h"

namespace batchscope {
namespace {

constexpr std::array keys{"layers",     "hidden",
                          "heads",      "kv_heads",
                          "head_dim",   "intermediate",
                          "vocabulary", "max_positions",
                          "rope_theta", "rms_norm_eps",
                          "tied",       "dtype",
                          "qkv_bias",   "attention_out_bias",
                          "mlp_bias",   "qk_norm",
                          "window",     "max_window_layers"};

ModelConfig with_defaults(std::string_view name) {
  ModelConfig config;
  config.name = name;
  config.architecture = "LlamaForCausalLM";
  config.max_positions = 2048;
  config.rms_norm_epsilon = 1e-6;
  config.rope_theta = 10000;
  config.bos_token = 1;
  config.eos_tokens = {2};
  return config;
}

// The words of "key=value,key=value"; each is taken once, and what nobody took is a mistake.
class ShapeWords {
 public:
  explicit ShapeWords(std::string_view shape) : shape_(shape) {
    for (std::string_view rest = shape; !rest.empty();) {
      const auto comma = std::min(rest.find(','), rest.size());
      add(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }

  std::int64_t size(std::string_view key, std::int64_t high, std::int64_t fallback = 0) const {
    const auto found = values_.find(key);
    if (found != values_.end()) return parse_integer(found->second, 1, high, name(key));
    if (fallback > 0) return fallback;
    throw InputError("shape '{}': {} is missing; write for example {}=64", shape_, key, key);
  }
  double number(std::string_view key, double fallback) const {
    const auto found = values_.find(key);
    if (found == values_.end()) return fallback;
    const std::string& text = found->second;
    double value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || stop != text.data() + text.size() || !(value > 0) || !std::isfinite(value))
      throw InputError("{}: '{}' is not a number above 0", name(key), text);
    return value;
  }
  bool flag(std::string_view key) const {
    const std::string value = text(key, "false");
    if (value != "true" && value != "false") throw InputError("{}: '{}' is neither true nor false", name(key), value);
    return value == "true";
  }
  std::string text(std::string_view key, std::string fallback) const {
    const auto found = values_.find(key);
    return found == values_.end() ? fallback : found->second;
  }
  std::string name(std::string_view key) const { return fmt::format("shape '{}': {}", shape_, key); }

 private:
  void add(std::string_view word) {
    const auto equals = word.find('=');
    if (equals == std::string_view::npos)
      throw InputError("shape '{}': '{}' is not of the form key=value", shape_, word);
    std::string key(word.substr(0, equals));
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      const std::string near = nearest(key, keys);
      throw InputError("shape '{}': unknown key '{}'{}", shape_, key,
                       near.empty() ? std::string() : fmt::format("; did you mean {}?", near));
    }
    if (!values_.emplace(key, word.substr(equals + 1)).second)
      throw InputError("shape '{}': {} is given twice", shape_, key);
  }

  std::string_view shape_;
  std::map<std::string, std::string, std::less<>> values_;
};

std::vector<std::int64_t> windows(const ShapeWords& words, std::int64_t layers) {
  if (words.text("window", "").empty()) return {};
  const std::string full = words.text("max_window_layers", "0");
  const std::int64_t before = parse_integer(full, 0, ModelLimits::layers, words.name("max_window_layers"));
  std::vector<std::int64_t> windows(static_cast<std::size_t>(layers), words.size("window", ModelLimits::positions));
  std::fill_n(windows.begin(), std::min(before, layers), 0);
  return windows;
}

ModelConfig from_words(std::string_view shape) {
  const ShapeWords words(shape);
  ModelConfig config = with_defaults(shape);
  config.layers = words.size("layers", ModelLimits::layers);
  config.hidden = words.size("hidden", ModelLimits::hidden);
  config.heads = words.size("heads", ModelLimits::heads);
  config.kv_heads = words.size("kv_heads", ModelLimits::heads, config.heads);
  config.intermediate = words.size("intermediate", ModelLimits::intermediate);
  config.vocabulary = words.size("vocabulary", ModelLimits::vocabulary);
  config.max_positions = words.size("max_positions", ModelLimits::positions, config.max_positions);
  config.rope_theta = words.number("rope_theta", config.rope_theta);
  config.rms_norm_epsilon = words.number("rms_norm_eps", config.rms_norm_epsilon);
  config.dtype = parse_dtype(words.text("dtype", "f32"), words.name("dtype"));
  config.tied_embeddings = words.flag("tied");
  config.qkv_bias = words.flag("qkv_bias");
  config.attention_out_bias = words.flag("attention_out_bias");
  config.mlp_bias = words.flag("mlp_bias");
  config.qk_norm = words.flag("qk_norm");
  config.windows = windows(words, config.layers);
  const std::string head_dim = words.text("head_dim", "");
  if (head_dim.empty() && config.hidden % config.heads != 0)
    throw InputError("shape '{}': hidden {} is not a multiple of {} heads; give head_dim", shape, config.hidden,
                     config.heads);
  config.head_dim =
      words.size("head_dim", ModelLimits::head_dim, std::max<std::int64_t>(config.hidden / config.heads, 1));
  check_sizes(config, fmt::format("shape '{}'", shape));
  return config;
}

}  // namespace

ModelConfig parse_model_shape(std::string_view shape) {
  if (is_shape_name(shape)) return *named_shape(shape);
  // A path may hold '=', a list of sizes is no path.
  const std::filesystem::path path(shape);
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return read_huggingface_config(path);
  if (std::filesystem::is_regular_file(path, ignored))
    return is_gguf_file(path) ? read_gguf_config(path) : read_huggingface_config_file(path);
  if (shape.find('=') != std::string_view::npos) return from_words(shape);
  if (const auto named = named_shape(shape)) return *named;
  const std::string near = nearest_shape(shape);
  throw InputError(
      "unknown shape '{}'; {}use a name ({}), a config.json or its folder, a GGUF file, or sizes like "
      "layers=2,hidden=64,heads=4,intermediate=172,vocabulary=512",
      shape, near.empty() ? "" : fmt::format("did you mean {}? Else ", near), fmt::join(shape_families(), ", "));
}

}  // namespace batchscope
