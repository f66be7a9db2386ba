// The tensors of a LLaMA by Hugging Face's names (model/weights.h).
#include "model/weights.h"

#include <charconv>
#include <system_error>

#include "model/weight_names.h"

namespace batchscope {

std::vector<WeightShape> weight_shapes(const ModelConfig& config) {
  const std::int64_t hidden = config.hidden;
  const std::int64_t queries = config.heads * config.head_dim;
  const std::int64_t keys = config.kv_heads * config.head_dim;
  std::vector<WeightShape> shapes;
  shapes.reserve(static_cast<std::size_t>(18 * config.layers + 3));
  shapes.push_back({"model.embed_tokens.weight", config.vocabulary, hidden});
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const auto vector = [&](const char* name, std::int64_t width) {
      shapes.push_back({prefix + name + ".weight", 1, width});
    };
    const auto projection = [&](const char* name, std::int64_t rows, std::int64_t columns, bool bias) {
      shapes.push_back({prefix + name + ".weight", rows, columns});
      if (bias) shapes.push_back({prefix + name + ".bias", 1, rows});
    };
    vector("input_layernorm", hidden);
    projection("self_attn.q_proj", queries, hidden, config.qkv_bias);
    projection("self_attn.k_proj", keys, hidden, config.qkv_bias);
    projection("self_attn.v_proj", keys, hidden, config.qkv_bias);
    if (config.qk_norm) {
      vector("self_attn.q_norm", config.head_dim);
      vector("self_attn.k_norm", config.head_dim);
    }
    projection("self_attn.o_proj", hidden, queries, config.attention_out_bias);
    vector("post_attention_layernorm", hidden);
    projection("mlp.gate_proj", config.intermediate, hidden, config.mlp_bias);
    projection("mlp.up_proj", config.intermediate, hidden, config.mlp_bias);
    projection("mlp.down_proj", hidden, config.intermediate, config.mlp_bias);
  }
  shapes.push_back({"model.norm.weight", 1, hidden});
  if (!config.tied_embeddings) shapes.push_back({"lm_head.weight", config.vocabulary, hidden});
  return shapes;
}

ExtraTensor classify_extra_tensor(std::string_view name, const ModelConfig& config) {
  // Old conversions keep what follows from theta: frequencies, or their cosines and sines.
  if (name.find(".rotary_emb.") != std::string_view::npos) return ExtraTensor::harmless;
  for (const char* scale : {".k_scale", ".v_scale", ".kv_scale"})  // of a KV cache in 8 bits, which is none here
    if (name.ends_with(scale)) return ExtraTensor::harmless;
  // Of activations that an engine may round to 8 bits; they are not rounded here.
  if (name.ends_with(".input_scale")) return ExtraTensor::harmless;
  if (name == "lm_head.weight" && config.tied_embeddings) return ExtraTensor::harmless;
  if (name.find("lora_") != std::string_view::npos) return ExtraTensor::changes_numbers;
  constexpr std::string_view layers = "model.layers.";
  if (!name.starts_with(layers)) return ExtraTensor::unknown;
  name.remove_prefix(layers.size());
  std::int64_t layer = 0;
  const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const bool beyond = error == std::errc() && layer >= config.layers;  // as transformers, not read when not configured
  return beyond ? ExtraTensor::unknown : ExtraTensor::changes_numbers;
}

}  // namespace batchscope
