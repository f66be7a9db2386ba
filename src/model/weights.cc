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
  shapes.reserve(static_cast<std::size_t>(9 * config.layers + 3));
  shapes.push_back({"model.embed_tokens.weight", config.vocabulary, hidden});
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    shapes.push_back({prefix + "input_layernorm.weight", 1, hidden});
    shapes.push_back({prefix + "self_attn.q_proj.weight", queries, hidden});
    shapes.push_back({prefix + "self_attn.k_proj.weight", keys, hidden});
    shapes.push_back({prefix + "self_attn.v_proj.weight", keys, hidden});
    shapes.push_back({prefix + "self_attn.o_proj.weight", hidden, queries});
    shapes.push_back({prefix + "post_attention_layernorm.weight", 1, hidden});
    shapes.push_back({prefix + "mlp.gate_proj.weight", config.intermediate, hidden});
    shapes.push_back({prefix + "mlp.up_proj.weight", config.intermediate, hidden});
    shapes.push_back({prefix + "mlp.down_proj.weight", hidden, config.intermediate});
  }
  shapes.push_back({"model.norm.weight", 1, hidden});
  if (!config.tied_embeddings) shapes.push_back({"lm_head.weight", config.vocabulary, hidden});
  return shapes;
}

ExtraTensor classify_extra_tensor(std::string_view name, const ModelConfig& config) {
  if (name.ends_with("rotary_emb.inv_freq"))
    return ExtraTensor::harmless;  // old conversions keep it; it follows from theta
  if (name == "lm_head.weight" && config.tied_embeddings) return ExtraTensor::harmless;
  if (name.ends_with(".bias") || name.find("lora_") != std::string_view::npos) return ExtraTensor::changes_numbers;
  constexpr std::string_view layers = "model.layers.";
  if (!name.starts_with(layers)) return ExtraTensor::unknown;
  name.remove_prefix(layers.size());
  std::int64_t layer = 0;
  const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const bool beyond = error == std::errc() && layer >= config.layers;  // as transformers, not read when not configured
  return beyond ? ExtraTensor::unknown : ExtraTensor::changes_numbers;
}

}  // namespace batchscope
