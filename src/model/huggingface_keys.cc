// The lists of config.json's keys. They are kept strict: what would change numbers is refused, not overlooked.
#include "model/huggingface_keys.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/input_warnings.h"

namespace batchscope {
namespace {

using nlohmann::json;

// Read one by one in huggingface_config.cc and huggingface_rope.cc.
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
                                   "use_sliding_window",
                                   "max_window_layers",
                                   "original_max_position_embeddings",
                                   "attention_bias",
                                   "mlp_bias",
                                   "quantization_config"};

// Fields of the family's other members and of older versions that change numbers, with the only value (besides null and
// absence) that means "as the members that we compute have it".
struct Neutral {
  std::string_view key;
  enum Kind { boolean_false, zero, one, nothing, empty } value;
};
constexpr std::array neutral_values{
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
    Neutral{"compression_config", Neutral::nothing},
    Neutral{"attention_chunk_size", Neutral::nothing},
    Neutral{"sliding_window_pattern", Neutral::nothing},
    Neutral{"per_layer_config", Neutral::empty},
    Neutral{"mlp_only_layers", Neutral::empty},
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
                                   "_model_name_or_path",
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
                                   "is_llama_config",
                                   "label2id",
                                   "length_penalty",
                                   "max_length",
                                   "max_sequence_length",
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
                                   "unk_token_id",
                                   "unsloth_version",
                                   "unsloth_fixed",
                                   "use_bfloat16",
                                   "use_cache",
                                   "use_return_dict"};

template <class Keys>
bool contains(const Keys& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

void refuse_what_we_do_not_compute(const JsonObject& file) {
  const std::string act = file.text("hidden_act", "silu");
  if (act != "silu" && act != "swish")
    throw InputError("{}: not supported yet: {}; supported: silu", file.name("hidden_act"), quote(act));
  for (const Neutral& field : neutral_values) {
    const json* value = file.find(field.key);
    if (value == nullptr || is_neutral(*value, field.value)) continue;
    constexpr std::array expected{"false", "0", "1", "null", "an empty one"};
    file.refuse(field.key, fmt::format("{} (anything else is not supported yet)", expected[field.value]));
  }
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
    warn_of_input(
        fmt::format("{}: unknown keys {}: if they change the model's numbers, the results here are not its own",
                    file.where(), unknown));
}

}  // namespace batchscope
