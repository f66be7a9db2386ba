// Hugging Face's config.json: every field that changes numbers is honoured or refused by its name.
#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/input_warnings.h"
#include "base/json.h"
#include "model/config.h"
#include "model/huggingface_keys.h"
#include "model/huggingface_quantization.h"
#include "model/huggingface_rope.h"

namespace batchscope {
namespace {

using nlohmann::json;

// The members of the family that we compute, with what transformers takes for a field that a file leaves out.
struct Architecture {
  std::string_view name;
  std::string_view model_type;
  std::int64_t max_positions;
  std::int64_t kv_heads;  // 0: as many as query heads
  std::int64_t head_dim;  // 0: hidden_size / num_attention_heads
  std::int32_t bos_token, eos_token;
  bool qkv_bias;        // whatever the file says
  bool attention_bias;  // the file's attention_bias: of all four projections
  bool mlp_bias;        // the file's mlp_bias
  bool qk_norm;
  enum Windows { no_layer, every_layer, some_layers } windows;
};
constexpr std::int64_t usual_window = 4096;
constexpr std::int64_t usual_max_window_layers = 28;
constexpr std::array architectures{Architecture{.name = "LlamaForCausalLM",
                                                .model_type = "llama",
                                                .max_positions = 2048,
                                                .kv_heads = 0,
                                                .head_dim = 0,
                                                .bos_token = 1,
                                                .eos_token = 2,
                                                .qkv_bias = false,
                                                .attention_bias = true,
                                                .mlp_bias = true,
                                                .qk_norm = false,
                                                .windows = Architecture::no_layer},
                                   Architecture{.name = "MistralForCausalLM",
                                                .model_type = "mistral",
                                                .max_positions = 131072,
                                                .kv_heads = 8,
                                                .head_dim = 0,
                                                .bos_token = 1,
                                                .eos_token = 2,
                                                .qkv_bias = false,
                                                .attention_bias = false,
                                                .mlp_bias = false,
                                                .qk_norm = false,
                                                .windows = Architecture::every_layer},
                                   Architecture{.name = "Qwen2ForCausalLM",
                                                .model_type = "qwen2",
                                                .max_positions = 32768,
                                                .kv_heads = 32,
                                                .head_dim = 0,
                                                .bos_token = -1,
                                                .eos_token = -1,
                                                .qkv_bias = true,
                                                .attention_bias = false,
                                                .mlp_bias = false,
                                                .qk_norm = false,
                                                .windows = Architecture::some_layers},
                                   Architecture{.name = "Qwen3ForCausalLM",
                                                .model_type = "qwen3",
                                                .max_positions = 32768,
                                                .kv_heads = 32,
                                                .head_dim = 128,
                                                .bos_token = -1,
                                                .eos_token = -1,
                                                .qkv_bias = false,
                                                .attention_bias = true,
                                                .mlp_bias = false,
                                                .qk_norm = true,
                                                .windows = Architecture::some_layers}};

std::string supported_architectures() {
  std::string names;
  for (const Architecture& each : architectures) names += (names.empty() ? "" : ", ") + std::string(each.name);
  return names;
}

const Architecture& read_architecture(const JsonObject& file) {
  const std::string type = file.text("model_type", "");
  std::string name;
  if (file.has("architectures")) {
    const auto names = file.texts("architectures");
    if (names.size() != 1) file.refuse("architectures", "a list of one name");
    name = names.front();
  }
  if (name.empty() && type.empty()) file.refuse("architectures", "a list of one name");
  for (const Architecture& known : architectures) {
    if ((name.empty() || name == known.name) && (type.empty() || type == known.model_type)) return known;
    if (name == known.name)
      throw InputError("{}: model_type: not supported yet: {} with architecture {}; supported: {}", file.where(),
                       quote(type), name, known.model_type);
  }
  throw InputError("{}: not supported yet: {}; supported: {}", file.where(),
                   name.empty() ? "model_type " + quote(type) : quote(name), supported_architectures());
}

DType read_dtype(const JsonObject& file) {
  const char* key = file.has("dtype") ? "dtype" : "torch_dtype";
  const std::string name = file.text(key, "float32");
  if (name == "float32") return DType::f32;
  if (name == "bfloat16") return DType::bf16;
  if (name == "float16") return DType::f16;
  file.refuse(key, "float32, bfloat16 or float16");
}

// A token id, a list of them, or null; -1 means none in old files.
std::vector<std::int32_t> read_token_ids(const JsonObject& file, std::string_view key, std::int64_t vocabulary,
                                         std::int32_t usual) {
  if (!file.value().contains(key)) return usual < 0 ? std::vector<std::int32_t>{} : std::vector{usual};
  const json* value = file.find(key);
  if (value == nullptr) return {};
  const json list = value->is_array() ? *value : json::array({*value});
  std::vector<std::int32_t> ids;
  for (const json& element : list) {
    const json one = {{std::string(key), element}};
    const std::int64_t id = JsonObject(one, file.where()).integer(key, -1, std::numeric_limits<std::int32_t>::max());
    if (id >= vocabulary)
      warn_of_input(
          fmt::format("{}: token {} is outside the vocabulary of {}; the model cannot give it, so it is left out",
                      file.name(key), id, vocabulary));
    else if (id >= 0)
      ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

// The value of a key that a file may leave out; null is another matter.
std::int64_t absent_or(const JsonObject& file, std::string_view key, std::int64_t absent, std::int64_t null) {
  return file.value().contains(key) ? null : absent;
}

void read_sizes(const JsonObject& file, const Architecture& architecture, ModelConfig& config) {
  config.hidden = file.integer("hidden_size", 1, ModelLimits::hidden);
  config.intermediate = file.integer("intermediate_size", 1, ModelLimits::intermediate);
  config.layers = file.integer("num_hidden_layers", 1, ModelLimits::layers);
  config.heads = file.integer("num_attention_heads", 1, ModelLimits::heads);
  const std::int64_t kv_heads = architecture.kv_heads == 0 ? config.heads : architecture.kv_heads;
  config.kv_heads = file.integer("num_key_value_heads", 1, ModelLimits::heads,
                                 absent_or(file, "num_key_value_heads", kv_heads, config.heads));
  config.vocabulary = file.integer("vocab_size", 1, ModelLimits::vocabulary);
  config.max_positions = file.integer("max_position_embeddings", 1, ModelLimits::positions, architecture.max_positions);
  const bool divided = !file.has("head_dim") && architecture.head_dim == 0;
  if (divided && config.hidden % config.heads != 0)
    throw InputError("{}: hidden_size {} is not a multiple of num_attention_heads {}, and head_dim is not given",
                     file.where(), config.hidden, config.heads);
  config.head_dim =
      file.integer("head_dim", 1, ModelLimits::head_dim,
                   divided ? std::max<std::int64_t>(config.hidden / config.heads, 1) : architecture.head_dim);
}

// A bias that `honoured` members have where the file says so, and others never.
bool read_bias(const JsonObject& file, std::string_view key, bool honoured, const Architecture& architecture) {
  const bool bias = file.boolean(key, false);
  if (bias && !honoured) file.refuse(key, fmt::format("false (a {} has no such bias)", architecture.name));
  return bias;
}

void read_biases(const JsonObject& file, const Architecture& architecture, ModelConfig& config) {
  const bool attention = read_bias(file, "attention_bias", architecture.attention_bias, architecture);
  config.qkv_bias = architecture.qkv_bias || attention;
  config.attention_out_bias = attention;
  config.mlp_bias = read_bias(file, "mlp_bias", architecture.mlp_bias, architecture);
  config.qk_norm = architecture.qk_norm;
}

// Of each layer, whether layer_types names it a windowed one; empty without the field.
std::vector<bool> read_layer_types(const JsonObject& file, std::int64_t layers) {
  std::vector<bool> windowed;
  if (!file.has("layer_types")) return windowed;
  for (const std::string& type : file.texts("layer_types")) {
    if (type != "full_attention" && type != "attention" && type != "sliding_attention")
      throw InputError("{}: not supported yet: {}; supported: full_attention, sliding_attention",
                       file.name("layer_types"), quote(type));
    windowed.push_back(type == "sliding_attention");
  }
  if (std::ssize(windowed) != layers)
    throw InputError("{}: {} of them, but num_hidden_layers is {}", file.name("layer_types"), windowed.size(), layers);
  return windowed;
}

// The window's size; 0 if there is none.
std::int64_t read_window(const JsonObject& file, const Architecture& architecture) {
  switch (architecture.windows) {
    case Architecture::no_layer:
      if (file.has("sliding_window") && file.boolean("use_sliding_window", true))
        file.refuse("sliding_window", fmt::format("null (a {} has no windows)", architecture.name));
      if (file.boolean("use_sliding_window", false))
        file.refuse("use_sliding_window", fmt::format("false (a {} has no windows)", architecture.name));
      return 0;
    case Architecture::every_layer:
      break;
    case Architecture::some_layers:
      if (!file.boolean("use_sliding_window", false)) return 0;
  }
  const std::int64_t absent = absent_or(file, "sliding_window", usual_window, 0);
  const std::int64_t window = file.integer("sliding_window", 1, ModelLimits::positions, absent);
  if (window != 0 && !file.boolean("use_sliding_window", true))
    file.refuse("use_sliding_window",
                fmt::format("true, or sliding_window null (every layer of a {} has it)", architecture.name));
  return window;
}

void read_windows(const JsonObject& file, const Architecture& architecture, ModelConfig& config) {
  const std::int64_t window = read_window(file, architecture);
  std::vector<bool> windowed = read_layer_types(file, config.layers);
  if (windowed.empty() && window != 0) {
    std::int64_t full = 0;  // layers without, before the others
    if (architecture.windows == Architecture::some_layers)
      full = file.integer("max_window_layers", 0, ModelLimits::layers, usual_max_window_layers);
    for (std::int64_t layer = 0; layer < config.layers; ++layer) windowed.push_back(layer >= full);
  }
  const bool any = std::find(windowed.begin(), windowed.end(), true) != windowed.end();
  const bool all = std::find(windowed.begin(), windowed.end(), false) == windowed.end();
  if ((any && window == 0) || (architecture.windows == Architecture::every_layer && window != 0 && !all))
    throw InputError("{}: contradicts sliding_window; with {} a {} cannot have such layers", file.name("layer_types"),
                     window == 0 ? "none" : "one", architecture.name);
  if (!any) return;
  for (const bool has : windowed) config.windows.push_back(has ? window : 0);
}

// Generation ends where generation_config.json says, if it is there: it overrides config.json.
void read_generation_config(const std::filesystem::path& folder, ModelConfig& config) {
  const auto path = folder / "generation_config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  const json content = parse_json(read_file(path), path.string());
  const JsonObject file(content, path.string());
  if (file.has("eos_token_id")) config.eos_tokens = read_token_ids(file, "eos_token_id", config.vocabulary, -1);
}

}  // namespace

ModelConfig parse_huggingface_config(std::string_view text, std::string_view origin) {
  const json content = parse_json(text, origin);
  const JsonObject file(content, std::string(origin));
  ModelConfig config;
  config.name = origin;
  const Architecture& architecture = read_architecture(file);
  config.architecture = architecture.name;
  refuse_what_we_do_not_compute(file);
  read_sizes(file, architecture, config);
  config.rms_norm_epsilon = file.number("rms_norm_eps", 0, 1, 1e-6);
  read_rope(file, config);
  read_biases(file, architecture, config);
  read_windows(file, architecture, config);
  read_quantization(file, config);
  config.tied_embeddings = file.boolean("tie_word_embeddings", false);
  config.dtype = read_dtype(file);
  const auto bos = read_token_ids(file, "bos_token_id", config.vocabulary, architecture.bos_token);
  config.bos_token = bos.empty() ? -1 : bos.front();
  config.eos_tokens = read_token_ids(file, "eos_token_id", config.vocabulary, architecture.eos_token);
  check_sizes(config, origin);
  warn_of_unknown_keys(file);
  return config;
}

ModelConfig read_huggingface_config_file(const std::filesystem::path& path) {
  ModelConfig config = parse_huggingface_config(read_file(path), path.string());
  const auto folder = std::filesystem::absolute(path).lexically_normal().parent_path();
  config.name = folder.filename().string();
  read_generation_config(folder, config);
  return config;
}

ModelConfig read_huggingface_config(const std::filesystem::path& folder) {
  return read_huggingface_config_file(folder / "config.json");
}

}  // namespace batchscope
