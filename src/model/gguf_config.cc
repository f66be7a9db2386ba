// A GGUF file's metadata as a configuration (gguf_config of model/gguf_checkpoint.h).
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/input_warnings.h"
#include "base/json.h"
#include "model/gguf_blocks.h"
#include "model/gguf_checkpoint.h"
#include "model/rope_frequencies.h"

namespace batchscope {
namespace {

constexpr std::string_view architecture_key = "general.architecture";

struct GgufArchitecture {
  std::string_view gguf, huggingface;
  bool qkv_bias, qk_norm;  // always; a bias that others have shows in their tensors
};
constexpr std::array gguf_architectures{GgufArchitecture{"llama", "LlamaForCausalLM", false, false},
                                        GgufArchitecture{"qwen2", "Qwen2ForCausalLM", true, false},
                                        GgufArchitecture{"qwen3", "Qwen3ForCausalLM", false, true}};

// Below the architecture's name: what gguf_config reads, and what changes nothing that is computed here.
constexpr std::array known_keys{"context_length",
                                "embedding_length",
                                "block_count",
                                "feed_forward_length",
                                "vocab_size",
                                "attention.head_count",
                                "attention.head_count_kv",
                                "attention.key_length",
                                "attention.value_length",
                                "attention.layer_norm_rms_epsilon",
                                "attention.sliding_window",
                                "attention.causal",
                                "hidden_activation",
                                "rope.dimension_count",
                                "rope.freq_base",
                                "rope.scale_linear",
                                "rope.scaling.type",
                                "rope.scaling.factor",
                                "rope.scaling.attn_factor",
                                "rope.scaling.original_context_length",
                                "rope.scaling.finetuned",
                                "rope.scaling.yarn_ext_factor",
                                "rope.scaling.yarn_attn_factor",
                                "rope.scaling.yarn_beta_fast",
                                "rope.scaling.yarn_beta_slow",
                                "rope.scaling.yarn_log_multiplier",
                                "attention.layer_norm_epsilon",
                                "pooling_type",
                                "tensor_data_layout"};

// Keys whose one value here means that nothing is done; with any other the numbers would be others.
struct GgufNeutral {
  std::string_view key;
  double value;
};
constexpr std::array gguf_neutral_values{GgufNeutral{"expert_count", 0},
                                         GgufNeutral{"expert_used_count", 0},
                                         GgufNeutral{"expert_shared_count", 0},
                                         GgufNeutral{"expert_feed_forward_length", 0},
                                         GgufNeutral{"expert_shared_feed_forward_length", 0},
                                         GgufNeutral{"leading_dense_block_count", 0},
                                         GgufNeutral{"interleave_moe_layer_step", 0},
                                         GgufNeutral{"nextn_predict_layers", 0},
                                         GgufNeutral{"use_parallel_residual", 0},
                                         GgufNeutral{"full_attention_interval", 0},
                                         GgufNeutral{"attn_logit_softcapping", 0},
                                         GgufNeutral{"final_logit_softcapping", 0},
                                         GgufNeutral{"attention.scale", 0},
                                         GgufNeutral{"attention.clamp_kqv", 0},
                                         GgufNeutral{"attention.max_alibi_bias", 0},
                                         GgufNeutral{"attention.temperature_scale", 0},
                                         GgufNeutral{"attention.temperature_length", 0},
                                         GgufNeutral{"attention.q_lora_rank", 0},
                                         GgufNeutral{"attention.kv_lora_rank", 0},
                                         GgufNeutral{"rope.scaling.alpha", 0},
                                         GgufNeutral{"logit_scale", 1},
                                         GgufNeutral{"residual_scale", 1},
                                         GgufNeutral{"embedding_scale", 1},
                                         GgufNeutral{"attention.output_scale", 1},
                                         GgufNeutral{"attention.value_scale", 1}};
// Of no value that would mean nothing.
constexpr std::array unsupported_keys{
    "attention.sliding_window_pattern", "attention.key_length_mla",   "attention.value_length_mla",
    "attention.key_length_swa",         "attention.value_length_swa", "rope.freq_base_swa",
    "rope.dimension_count_swa",         "rope.dimension_sections",    "classifier.output_labels"};

class ConfigReader {
 public:
  explicit ConfigReader(const GgufCheckpoint& checkpoint)
      : checkpoint_(checkpoint), file_(checkpoint.metadata()), architecture_(find_architecture()) {}

  ModelConfig read() {
    refuse_what_we_do_not_compute();
    read_sizes();
    read_attention();
    read_rope();
    read_tokens();
    config_.dtype = main_dtype();
    check_sizes(config_, file_.origin());
    warn_of_unknown_keys();
    return config_;
  }

 private:
  const GgufArchitecture& find_architecture() const {
    const std::string_view name = file_.text(architecture_key);
    for (const GgufArchitecture& known : gguf_architectures)
      if (name == known.gguf) return known;
    throw InputError("{}: not supported yet: {}; supported: llama (LLaMA, Mistral), qwen2, qwen3",
                     file_.name(architecture_key), quote(name));
  }

  std::string key(std::string_view below) const { return fmt::format("{}.{}", architecture_.gguf, below); }

  // Refused when it is there and not this number.
  void require(const std::string& name, double value, std::string_view expected) const {
    if (file_.has(name) && !file_.is_number(name, value)) file_.refuse(name, expected);
  }

  // A size that must be the same for all layers, whether it is written once or for each.
  std::int64_t uniform(std::string_view below, std::int64_t high, std::optional<std::int64_t> fallback = {}) const {
    const std::string name = key(below);
    if (!file_.is_array(name)) return file_.integer(name, 1, high, fallback);
    const auto all = file_.integers(name, 0, high);
    const bool same = std::all_of(all.begin(), all.end(), [&](std::int64_t each) { return each == all.front(); });
    if (!same || std::ssize(all) != config_.layers || all.front() == 0)
      file_.refuse(name, fmt::format("one number, or the same for all {} layers", config_.layers));
    return all.front();
  }

  void refuse_what_we_do_not_compute() const;
  void warn_of_unknown_keys() const;
  void read_sizes();
  void read_attention();
  void read_rope();
  void read_yarn();
  void read_rope_divisors();
  void read_tokens();
  DType main_dtype() const;

  const GgufCheckpoint& checkpoint_;
  const Gguf& file_;
  const GgufArchitecture& architecture_;
  ModelConfig config_;
};

void ConfigReader::refuse_what_we_do_not_compute() const {
  if (const auto type = file_.text("general.type", "model"); type != "model")
    throw InputError("{}: not supported: {}; supported: model", file_.name("general.type"), quote(type));
  require("general.quantization_version", 2, "2, the version of the blocks' formulas");
  for (const GgufNeutral& neutral : gguf_neutral_values)
    require(key(neutral.key), neutral.value, fmt::format("{} (anything else is not supported yet)", neutral.value));
  for (const std::string_view unsupported : unsupported_keys)
    if (file_.has(key(unsupported))) file_.refuse(key(unsupported), "nothing (not supported yet)");
  if (!file_.boolean(key("attention.causal"), true))
    file_.refuse(key("attention.causal"), "true (a model that sees what follows is not supported)");
  if (const auto act = file_.text(key("hidden_activation"), "silu"); act != "silu" && act != "swish")
    throw InputError("{}: not supported yet: {}; supported: silu", file_.name(key("hidden_activation")), quote(act));
}

void ConfigReader::warn_of_unknown_keys() const {
  std::string unknown;
  const std::string prefix = key("");
  for (const std::string_view name : file_.keys()) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view below = name.substr(prefix.size());
    const bool known = std::find(known_keys.begin(), known_keys.end(), below) != known_keys.end() ||
                       std::any_of(gguf_neutral_values.begin(), gguf_neutral_values.end(),
                                   [&](const GgufNeutral& neutral) { return neutral.key == below; });
    if (!known && unknown.size() < 200) unknown += (unknown.empty() ? "" : ", ") + quote(name);
  }
  if (!unknown.empty())
    warn_of_input(
        fmt::format("{}: unknown keys {}: if they change the model's numbers, the results here are not its own",
                    file_.origin(), unknown));
}

void ConfigReader::read_sizes() {
  config_.name = file_.origin();
  config_.architecture = architecture_.huggingface;
  config_.layers = file_.integer(key("block_count"), 1, ModelLimits::layers);
  const std::string last_layer = fmt::format("blk.{}.attn_norm.weight", config_.layers - 1);
  if (!checkpoint_.has(last_layer))
    throw InputError("{}: it says {} layers, but there is no tensor {}; the file is damaged",
                     file_.name(key("block_count")), config_.layers, last_layer);
  config_.hidden = file_.integer(key("embedding_length"), 1, ModelLimits::hidden);
  config_.intermediate = uniform("feed_forward_length", ModelLimits::intermediate);
  config_.max_positions = file_.integer(key("context_length"), 1, ModelLimits::positions);
  config_.rms_norm_epsilon = file_.number(key("attention.layer_norm_rms_epsilon"), 0, 1);
  config_.tied_embeddings = !checkpoint_.has("output.weight");
  constexpr std::string_view tokens = "tokenizer.ggml.tokens";
  if (file_.has(key("vocab_size")) || !file_.has(tokens))
    config_.vocabulary = file_.integer(key("vocab_size"), 1, ModelLimits::vocabulary);
  else
    config_.vocabulary = static_cast<std::int64_t>(file_.size(tokens));
}

void ConfigReader::read_attention() {
  config_.heads = uniform("attention.head_count", ModelLimits::heads);
  config_.kv_heads = uniform("attention.head_count_kv", ModelLimits::heads, config_.heads);
  if (!file_.has(key("attention.key_length")) && config_.hidden % config_.heads != 0)
    throw InputError(
        "{}: embedding_length {} is not a multiple of attention.head_count {}, and attention.key_length "
        "is not given",
        file_.origin(), config_.hidden, config_.heads);
  config_.head_dim = file_.integer(key("attention.key_length"), 1, ModelLimits::head_dim,
                                   std::max<std::int64_t>(config_.hidden / config_.heads, 1));
  for (const char* same : {"attention.value_length", "rope.dimension_count"})
    require(key(same), static_cast<double>(config_.head_dim),
            fmt::format("{}, as keys have (anything else is not supported yet)", config_.head_dim));
  const auto any = [&](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(),
                       [&](const char* name) { return checkpoint_.has(fmt::format("blk.0.{}.bias", name)); });
  };
  config_.qkv_bias = architecture_.qkv_bias || any({"attn_q", "attn_k", "attn_v"});
  config_.attention_out_bias = any({"attn_output"});
  config_.mlp_bias = any({"ffn_gate", "ffn_up", "ffn_down"});
  config_.qk_norm = architecture_.qk_norm;
  const std::string window_key = key("attention.sliding_window");
  const std::int64_t window = file_.integer(window_key, 0, ModelLimits::positions, 0);
  if (window == 0) return;
  if (architecture_.gguf != "llama") file_.refuse(window_key, "0 (the file does not say which layers it is for)");
  config_.architecture = "MistralForCausalLM";
  config_.windows.assign(static_cast<std::size_t>(config_.layers), window);
}

void ConfigReader::read_rope() {
  constexpr double usual_theta = 10000, largest = 1e15;
  config_.rope_theta = file_.number(key("rope.freq_base"), 0, largest, usual_theta);
  read_rope_divisors();
  RopeScaling& scaling = config_.rope_scaling;
  const std::string factor_key =
      key(file_.has(key("rope.scaling.factor")) ? "rope.scaling.factor" : "rope.scale_linear");
  scaling.factor = file_.is_number(factor_key, 0) ? 1 : file_.number(factor_key, 0, largest, 1);  // 0: none
  const auto type = file_.text(key("rope.scaling.type"), "linear");  // what a factor alone means
  const std::string attention_key = key("rope.scaling.attn_factor");
  if (type != "yarn") require(attention_key, 1, "1 (another is supported with yarn only)");
  if (type == "yarn") return read_yarn();
  if (type != "none" && type != "linear")
    throw InputError("{}: not supported yet: {}; supported: none, linear, yarn", file_.name(key("rope.scaling.type")),
                     quote(type));
  const bool linear = type == "linear" && scaling.factor != 1;
  scaling.kind = linear ? RopeScaling::Kind::linear : RopeScaling::Kind::none;
  if (!linear) scaling.factor = 1;
}

void ConfigReader::read_yarn() {
  constexpr double largest = 1e6;
  RopeScaling& scaling = config_.rope_scaling;
  scaling.kind = RopeScaling::Kind::yarn;
  scaling.original_positions =
      file_.integer(key("rope.scaling.original_context_length"), 1, ModelLimits::positions, config_.max_positions);
  scaling.beta_fast = file_.number(key("rope.scaling.yarn_beta_fast"), 0, largest, scaling.beta_fast);
  scaling.beta_slow = file_.number(key("rope.scaling.yarn_beta_slow"), 0, largest, scaling.beta_slow);
  require(key("rope.scaling.yarn_ext_factor"), 1, "1 (anything else is not supported yet)");
  const std::string multiplier_key = key("rope.scaling.yarn_log_multiplier");
  const double multiplier = file_.is_number(multiplier_key, 0) ? 0 : file_.number(multiplier_key, 0, largest, 0);
  double attention = yarn_attention_factor(scaling.factor, 1);
  if (multiplier != 0) attention /= yarn_attention_factor(scaling.factor, multiplier);
  attention = file_.number(key("rope.scaling.yarn_attn_factor"), 0, largest, attention);
  scaling.attention_factor = attention * file_.number(key("rope.scaling.attn_factor"), 0, largest, 1);
}

// What llama3's scaling does to the frequencies: written out by whoever converted the model.
void ConfigReader::read_rope_divisors() {
  const auto found = checkpoint_.tensors().find("rope_freqs.weight");
  if (found == checkpoint_.tensors().end() || architecture_.gguf != "llama") return;
  const auto [file, tensor] = found->second;
  if (format_of(*tensor->type) != GgufFormat::f32 || tensor->shape != std::vector{config_.head_dim / 2})
    throw InputError("{}: tensor rope_freqs.weight is {} of shape [{}]; expected F32 of shape [{}]", file->origin(),
                     tensor->type->name, fmt::join(tensor->shape, ", "), config_.head_dim / 2);
  auto& divisors = config_.rope_scaling.divisors;
  divisors.resize(static_cast<std::size_t>(config_.head_dim / 2));
  dequantise(GgufFormat::f32, file->bytes(*tensor).data(), config_.head_dim / 2, divisors.data());
  for (const float divisor : divisors)
    if (!(divisor > 0 && std::isfinite(divisor)))
      throw InputError("{}: tensor rope_freqs.weight: {} cannot divide a frequency; the weights are damaged",
                       file->origin(), divisor);
}

void ConfigReader::read_tokens() {
  config_.bos_token = file_.token("tokenizer.ggml.bos_token_id", config_.vocabulary).value_or(-1);
  if (const auto eos = file_.token("tokenizer.ggml.eos_token_id", config_.vocabulary)) config_.eos_tokens = {*eos};
}

// That of most bytes among the matrices; quantised ones count as what they become.
DType ConfigReader::main_dtype() const {
  std::map<DType, std::uint64_t> bytes;
  for (const auto& [name, place] : checkpoint_.tensors()) {
    const auto format = format_of(*place.tensor->type);
    if (place.tensor->shape.size() >= 2 && format)
      bytes[plain_dtype(*format).value_or(DType::f32)] += place.tensor->bytes;
  }
  const auto most =
      std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? DType::f32 : most->first;
}

}  // namespace

ModelConfig gguf_config(const GgufCheckpoint& checkpoint) { return ConfigReader(checkpoint).read(); }

}  // namespace batchscope
