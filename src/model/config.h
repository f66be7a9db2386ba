// A model's configuration, whatever file it came from. Every field that changes numbers is here; a checkpoint that
// sets one we do not compute is refused by that field's name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace batchscope {

// How rotary embeddings are stretched to inputs longer than those a model was first trained with.
struct RopeScaling {
  enum class Kind {
    none,     // frequencies by theta alone
    linear,   // all frequencies / factor
    dynamic,  // theta grows with a sequence that is longer than max_positions
    llama3,   // low frequencies / factor, high ones as they are, between them a blend
    yarn      // the same, the blend by the number of a frequency; cosines and sines * attention_factor
  };
  Kind kind = Kind::none;
  double factor = 1;
  std::int64_t original_positions = 0;  // llama3, yarn: longest input before the stretching
  double low_frequency_factor = 1;      // llama3: fewer turns than this in original_positions is a low frequency
  double high_frequency_factor = 4;     // llama3: more turns than this is a high one
  double beta_fast = 32;                // yarn: turns in original_positions from which on a frequency is kept
  double beta_slow = 1;                 // yarn: turns up to which it is divided
  bool truncate = true;                 // yarn: the blend begins and ends at whole numbers of frequencies
  double attention_factor = 1;          // of cosines and sines; 1 unless yarn
  std::vector<float> divisors;          // [head_dim / 2] of the frequencies, on top; empty: all 1
};

struct ModelConfig {
  std::string name;               // folder or shape name, for tables
  std::string architecture;       // "LlamaForCausalLM"
  std::int64_t hidden = 0;        // width of the residual stream
  std::int64_t intermediate = 0;  // width of the MLP
  std::int64_t layers = 0;
  std::int64_t heads = 0;     // query heads
  std::int64_t kv_heads = 0;  // divides heads
  std::int64_t head_dim = 0;  // even; hidden / heads unless the file says otherwise
  std::int64_t vocabulary = 0;
  std::int64_t max_positions = 0;  // longest input the model was made for
  double rms_norm_epsilon = 0;
  double rope_theta = 0;
  RopeScaling rope_scaling;
  bool qkv_bias = false;              // of the query, key and value projections
  bool attention_out_bias = false;    // of the attention's output projection
  bool mlp_bias = false;              // of gate, up and down
  bool qk_norm = false;               // RMSNorm over each head of queries and keys, before RoPE
  std::vector<std::int64_t> windows;  // [layers] newest keys that a query sees, itself included; 0 or empty: all
  bool tied_embeddings = false;       // the vocabulary projection is the embedding table
  DType dtype = DType::f32;           // of the checkpoint
  struct Fp8Block {
    std::int64_t rows = 0, columns = 0;
  } fp8_block;  // of a checkpoint in FP8: the part of a projection that shares a scale; 0: scales are of rows or tensors
  std::int32_t bos_token = -1;        // -1: none
  std::vector<std::int32_t> eos_tokens;

  std::int64_t window(std::int64_t layer) const {
    return windows.empty() ? 0 : windows[static_cast<std::size_t>(layer)];
  }
  // max_positions, or as far as dynamic scaling stretches them.
  std::int64_t longest_input() const;
  std::int64_t parameters() const;  // elements of all weights (a tied table counts once)
};

// Limits of each size; with them no product of sizes that the program forms leaves int64.
struct ModelLimits {
  static constexpr std::int64_t hidden = 1 << 18;
  static constexpr std::int64_t intermediate = 1 << 20;
  static constexpr std::int64_t layers = 1 << 16;
  static constexpr std::int64_t heads = 1 << 16;
  static constexpr std::int64_t head_dim = 1 << 16;
  static constexpr std::int64_t attention_width = 1 << 20;  // heads * head_dim
  static constexpr std::int64_t vocabulary = 1 << 24;
  static constexpr std::int64_t positions = 1 << 30;
};

// InputError, beginning with `where`, when the sizes do not fit one another; readers of every file form end with it.
void check_sizes(const ModelConfig& config, std::string_view where);

// Reads `folder`/config.json (Hugging Face), and generation_config.json's end tokens where that file is there;
// InputError names file, field, value and what is supported.
ModelConfig read_huggingface_config(const std::filesystem::path& folder);
// The same from the config.json itself, whatever its name.
ModelConfig read_huggingface_config_file(const std::filesystem::path& path);
// The same from the text of a config.json; `origin` names it in errors.
ModelConfig parse_huggingface_config(std::string_view json, std::string_view origin);

// The metadata of a GGUF file (model/gguf_checkpoint.h).
ModelConfig read_gguf_config(const std::filesystem::path& path);
// By its first bytes, whatever its name.
bool is_gguf_file(const std::filesystem::path& path);

// A shape without weights, for plan and --random-weights: a known name (model/named_shapes.h), a path to a config.json or
// its folder or to a GGUF file, or "layers=2,hidden=64,heads=4,kv_heads=2,head_dim=16,intermediate=172,vocabulary=512"
// (kv_heads, head_dim may be left out; may be added: max_positions, rope_theta, rms_norm_eps, tied, dtype, qkv_bias,
// attention_out_bias, mlp_bias, qk_norm, window and max_window_layers, which says how many layers come before the windowed
// ones).
ModelConfig parse_model_shape(std::string_view shape);

}  // namespace batchscope
