// Hugging Face's config.json: every field that changes numbers is honoured or refused by its name.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "model/config.h"

namespace batchscope {
namespace {

using nlohmann::json;

// The members of the family that we compute. Another one is a line here and what its forward pass needs.
struct Architecture {
  std::string_view name;
  std::string_view model_type;
};
constexpr std::array architectures{Architecture{"LlamaForCausalLM", "llama"}};

std::string supported_architectures() {
  std::string names;
  for (const Architecture& each : architectures) names += (names.empty() ? "" : ", ") + std::string(each.name);
  return names;
}

// Read below, one by one.
constexpr std::array honoured_keys{"architectures",
                                   "model_type",
                                   "hidden_size",
                                   "intermediate_size",
                                   "num_hidden_layers",
                                   "num_attention_heads",
                                   "num_key_value_heads",
                                   "head_dim",
                                   "vocab_size",
                                   "rms_norm_eps",
                                   "rope_theta",
                                   "max_position_embeddings",
                                   "rope_parameters",
                                   "rope_scaling",
                                   "tie_word_embeddings",
                                   "torch_dtype",
                                   "dtype",
                                   "bos_token_id",
                                   "eos_token_id",
                                   "hidden_act",
                                   "sliding_window",
                                   "layer_types",
                                   "use_sliding_window"};

// Fields of the family's other members and of older versions that change numbers, with the only value (besides null and
// absence) that means "as in a plain LLaMA".
struct Neutral {
  std::string_view key;
  enum Kind { boolean_false, zero, one, nothing, empty } value;
};
constexpr std::array neutral_values{
    Neutral{"attention_bias", Neutral::boolean_false},
    Neutral{"mlp_bias", Neutral::boolean_false},
    Neutral{"bias", Neutral::boolean_false},
    Neutral{"qkv_bias", Neutral::boolean_false},
    Neutral{"use_bias", Neutral::boolean_false},
    Neutral{"use_qkv_bias", Neutral::boolean_false},
    Neutral{"lm_head_bias", Neutral::boolean_false},
    Neutral{"use_qk_norm", Neutral::boolean_false},
    Neutral{"qk_norm", Neutral::boolean_false},
    Neutral{"qk_layernorm", Neutral::boolean_false},
    Neutral{"alibi", Neutral::boolean_false},
    Neutral{"use_parallel_residual", Neutral::boolean_false},
    Neutral{"parallel_attn", Neutral::boolean_false},
    Neutral{"rope_interleaved", Neutral::boolean_false},
    Neutral{"rope_interleave", Neutral::boolean_false},
    Neutral{"use_mrope", Neutral::boolean_false},
    Neutral{"is_encoder_decoder", Neutral::boolean_false},
    Neutral{"add_cross_attention", Neutral::boolean_false},
    Neutral{"tie_encoder_decoder", Neutral::boolean_false},
    Neutral{"scale_attn_by_inverse_layer_idx", Neutral::boolean_false},
    Neutral{"use_dynamic_ntk", Neutral::boolean_false},
    Neutral{"use_logn_attn", Neutral::boolean_false},
    Neutral{"quantization_config", Neutral::nothing},
    Neutral{"compression_config", Neutral::nothing},
    Neutral{"attention_chunk_size", Neutral::nothing},
    Neutral{"no_rope_layers", Neutral::empty},
    Neutral{"pruned_heads", Neutral::empty},
    Neutral{"clip_qkv", Neutral::nothing},
    Neutral{"attn_logit_softcapping", Neutral::nothing},
    Neutral{"final_logit_softcapping", Neutral::nothing},
    Neutral{"query_pre_attn_scalar", Neutral::nothing},
    Neutral{"attention_multiplier", Neutral::nothing},
    Neutral{"scale_depth", Neutral::nothing},
    Neutral{"dim_model_base", Neutral::nothing},
    Neutral{"rope_local_base_freq", Neutral::nothing},
    Neutral{"q_lora_rank", Neutral::nothing},
    Neutral{"kv_lora_rank", Neutral::nothing},
    Neutral{"global_attn_every_n_layers", Neutral::nothing},
    Neutral{"partial_rotary_factor", Neutral::one},
    Neutral{"rotary_pct", Neutral::one},
    Neutral{"rope_scaling_factor", Neutral::one},
    Neutral{"logit_scale", Neutral::one},
    Neutral{"logits_scaling", Neutral::one},
    Neutral{"lm_head_multiplier", Neutral::one},
    Neutral{"embedding_multiplier", Neutral::one},
    Neutral{"residual_multiplier", Neutral::one},
    Neutral{"scale_emb", Neutral::one},
    Neutral{"num_experts", Neutral::zero},
    Neutral{"num_local_experts", Neutral::zero},
    Neutral{"n_routed_experts", Neutral::zero},
    Neutral{"num_experts_per_tok", Neutral::zero},
    Neutral{"moe_intermediate_size", Neutral::zero},
    Neutral{"num_nextn_predict_layers", Neutral::zero},
};

bool is_neutral(const json& value, Neutral::Kind kind) {
  switch (kind) {
    case Neutral::boolean_false:
      return value == false;
    case Neutral::zero:
      return value.is_number() && value == 0;
    case Neutral::one:
      return value.is_number() && value == 1;
    case Neutral::empty:
      return value.is_structured() && value.empty();
    case Neutral::nothing:
      return false;
  }
  return false;
}

// Known to leave a forward pass alone: about training, about how Hugging Face's library works, or defaults for
// sampling.
constexpr std::array harmless_keys{"_attn_implementation",
                                   "_attn_implementation_autoset",
                                   "_commit_hash",
                                   "_name_or_path",
                                   "attention_dropout",
                                   "attn_dropout",
                                   "attn_implementation",
                                   "auto_map",
                                   "bad_words_ids",
                                   "begin_suppress_tokens",
                                   "chunk_size_feed_forward",
                                   "cross_attention_hidden_size",
                                   "decoder_start_token_id",
                                   "diversity_penalty",
                                   "do_sample",
                                   "early_stopping",
                                   "embd_pdrop",
                                   "encoder_no_repeat_ngram_size",
                                   "exponential_decay_length_penalty",
                                   "finetuning_task",
                                   "forced_bos_token_id",
                                   "forced_eos_token_id",
                                   "gradient_checkpointing",
                                   "hidden_dropout",
                                   "id2label",
                                   "initializer_range",
                                   "is_decoder",
                                   "label2id",
                                   "length_penalty",
                                   "max_length",
                                   "max_sequence_length",
                                   "max_window_layers",
                                   "min_length",
                                   "no_repeat_ngram_size",
                                   "num_beam_groups",
                                   "num_beams",
                                   "num_return_sequences",
                                   "output_attentions",
                                   "output_hidden_states",
                                   "output_scores",
                                   "pad_token_id",
                                   "prefix",
                                   "pretraining_tp",
                                   "problem_type",
                                   "remove_invalid_values",
                                   "repetition_penalty",
                                   "resid_pdrop",
                                   "return_dict",
                                   "return_dict_in_generate",
                                   "sep_token_id",
                                   "suppress_tokens",
                                   "task_specific_params",
                                   "temperature",
                                   "tf_legacy_loss",
                                   "tie_weights",
                                   "tokenizer_class",
                                   "top_k",
                                   "top_p",
                                   "torchscript",
                                   "transformers.js_config",
                                   "transformers_version",
                                   "typical_p",
                                   "unsloth_version",
                                   "unsloth_fixed",
                                   "use_bfloat16",
                                   "use_cache",
                                   "use_return_dict"};

template <class Keys>
bool contains(const Keys& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

std::string read_architecture(const JsonObject& file) {
  const std::string type = file.text("model_type", "");
  std::string name;
  if (file.has("architectures")) {
    const auto names = file.texts("architectures");
    if (names.size() != 1) file.refuse("architectures", "a list of one name");
    name = names.front();
  }
  if (name.empty() && type.empty()) file.refuse("architectures", "a list of one name");
  for (const Architecture& known : architectures) {
    if ((name.empty() || name == known.name) && (type.empty() || type == known.model_type))
      return std::string(known.name);
    if (name == known.name)
      throw InputError("{}: model_type: not supported yet: {} with architecture {}; supported: {}", file.where(),
                       quote(type), name, known.model_type);
  }
  throw InputError("{}: not supported yet: {}; supported: {}", file.where(),
                   name.empty() ? "model_type " + quote(type) : quote(name), supported_architectures());
}

void refuse_what_we_do_not_compute(const JsonObject& file) {
  const std::string act = file.text("hidden_act", "silu");
  if (act != "silu" && act != "swish")
    throw InputError("{}: not supported yet: {}; supported: silu", file.name("hidden_act"), quote(act));
  if (file.has("sliding_window") && file.boolean("use_sliding_window", true))
    file.refuse("sliding_window", "null (windows of attention are not supported yet)");
  if (file.boolean("use_sliding_window", false)) file.refuse("use_sliding_window", "false (not supported yet)");
  if (file.has("layer_types"))
    for (const std::string& type : file.texts("layer_types"))
      if (type != "full_attention")
        throw InputError("{}: not supported yet: {}; supported: full_attention", file.name("layer_types"), quote(type));
  for (const Neutral& field : neutral_values) {
    const json* value = file.find(field.key);
    if (value == nullptr || is_neutral(*value, field.value)) continue;
    constexpr std::array expected{"false", "0", "1", "null", "an empty one"};
    file.refuse(field.key, fmt::format("{} (anything else is not supported yet)", expected[field.value]));
  }
}

// rope_parameters, or rope_scaling as older files call it: only the plain rotation is computed.
double read_rope_group(const JsonObject& rope, double theta) {
  std::string type = rope.text("type", "default");
  type = rope.text("rope_type", type);
  if (type != "default")
    throw InputError("{}: not supported yet: {}; supported: default", rope.name("rope_type"), quote(type));
  for (const auto& [key, value] : rope.value().items()) {
    const bool plain = key == "rope_type" || key == "type" || key == "rope_theta" || value.is_null() ||
                       (key == "partial_rotary_factor" && is_neutral(value, Neutral::one));
    if (!plain) rope.refuse(key, "nothing (not supported yet)");
  }
  return rope.number("rope_theta", 0, 1e15, theta);
}

double read_rope_theta(const JsonObject& file) {
  constexpr double usual = 10000;
  double theta = file.number("rope_theta", 0, 1e15, usual);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!file.has(key)) continue;
    const double inner = read_rope_group(file.object(key), theta);
    if (inner != theta && file.has("rope_theta"))
      throw InputError("{}.rope_theta: {} contradicts rope_theta {}; keep one of them", file.name(key), inner, theta);
    theta = inner;
  }
  return theta;
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
  if (!file.value().contains(key)) return {usual};
  const json* value = file.find(key);
  if (value == nullptr) return {};
  const json list = value->is_array() ? *value : json::array({*value});
  std::vector<std::int32_t> ids;
  for (const json& element : list) {
    const json one = {{std::string(key), element}};
    const std::int64_t id = JsonObject(one, file.where()).integer(key, -1, vocabulary - 1);
    if (id >= 0) ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

void read_sizes(const JsonObject& file, ModelConfig& config) {
  config.hidden = file.integer("hidden_size", 1, ModelLimits::hidden);
  config.intermediate = file.integer("intermediate_size", 1, ModelLimits::intermediate);
  config.layers = file.integer("num_hidden_layers", 1, ModelLimits::layers);
  config.heads = file.integer("num_attention_heads", 1, ModelLimits::heads);
  config.kv_heads = file.integer("num_key_value_heads", 1, ModelLimits::heads, config.heads);
  config.vocabulary = file.integer("vocab_size", 1, ModelLimits::vocabulary);
  config.max_positions = file.integer("max_position_embeddings", 1, ModelLimits::positions, 2048);
  if (!file.has("head_dim") && config.hidden % config.heads != 0)
    throw InputError("{}: hidden_size {} is not a multiple of num_attention_heads {}, and head_dim is not given",
                     file.where(), config.hidden, config.heads);
  config.head_dim =
      file.integer("head_dim", 1, ModelLimits::head_dim, std::max<std::int64_t>(config.hidden / config.heads, 1));
}

void warn_of_unknown_keys(const JsonObject& file) {
  std::string unknown;
  for (const auto& [key, value] : file.value().items()) {
    const bool known = contains(honoured_keys, key) || contains(harmless_keys, key) || value.is_null() ||
                       std::any_of(neutral_values.begin(), neutral_values.end(),
                                   [&name = key](const Neutral& field) { return field.key == name; });
    if (!known && unknown.size() < 200) unknown += (unknown.empty() ? "" : ", ") + quote(key);
  }
  if (!unknown.empty())
    spdlog::warn("{}: unknown keys {}: if they change the model's numbers, the results here are not its own",
                 file.where(), unknown);
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
  config.architecture = read_architecture(file);
  refuse_what_we_do_not_compute(file);
  read_sizes(file, config);
  config.rms_norm_epsilon = file.number("rms_norm_eps", 0, 1, 1e-6);
  config.rope_theta = read_rope_theta(file);
  config.tied_embeddings = file.boolean("tie_word_embeddings", false);
  config.dtype = read_dtype(file);
  const auto bos = read_token_ids(file, "bos_token_id", config.vocabulary, 1);
  config.bos_token = bos.empty() ? -1 : bos.front();
  config.eos_tokens = read_token_ids(file, "eos_token_id", config.vocabulary, 2);
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
