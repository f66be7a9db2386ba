// Lists the sizes of LLaMA, Mistral and Qwen models by their common names.
#include "model/named_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/units.h"

namespace batchscope {
namespace {

// What the models of a family have in common.
struct Family {
  std::string_view name;
  const char* architecture;
  DType dtype;
  std::int64_t positions;
  double rms_norm_epsilon, rope_theta;
  std::int32_t bos_token, eos_token;
  double llama3_factor = 0;  // of RopeScaling's llama3, from 8192 positions on; 0: no scaling
  std::int64_t window = 0;
  bool qkv_bias = false, qk_norm = false;
};

struct Size {
  std::string_view name;
  std::int64_t layers, hidden, heads, kv_heads, head_dim, intermediate, vocabulary;
  bool tied = false;
  // Where they differ from the family's.
  std::int64_t positions = 0;
  double rms_norm_epsilon = 0;
};

struct Shapes {
  Family family;
  std::vector<Size> sizes;
};

constexpr const char* llama = "LlamaForCausalLM";
constexpr const char* mistral = "MistralForCausalLM";

const std::vector<Shapes>& all_shapes() {
  static const std::vector<Shapes> all{
      {{"llama", llama, DType::f16, 2048, 1e-6, 1e4, 1, 2},
       {{"7b", 32, 4096, 32, 32, 128, 11008, 32000},
        {"13b", 40, 5120, 40, 40, 128, 13824, 32000},
        {"30b", 60, 6656, 52, 52, 128, 17920, 32000},
        {"65b", 80, 8192, 64, 64, 128, 22016, 32000, false, 0, 1e-5}}},
      {{"llama-2", llama, DType::f16, 4096, 1e-5, 1e4, 1, 2},
       {{"7b", 32, 4096, 32, 32, 128, 11008, 32000},
        {"13b", 40, 5120, 40, 40, 128, 13824, 32000},
        {"70b", 80, 8192, 64, 8, 128, 28672, 32000}}},
      {{"llama-3", llama, DType::bf16, 8192, 1e-5, 5e5, 128000, 128001},
       {{"8b", 32, 4096, 32, 8, 128, 14336, 128256}, {"70b", 80, 8192, 64, 8, 128, 28672, 128256}}},
      {{"llama-3.1", llama, DType::bf16, 131072, 1e-5, 5e5, 128000, 128001, 8},
       {{"8b", 32, 4096, 32, 8, 128, 14336, 128256},
        {"70b", 80, 8192, 64, 8, 128, 28672, 128256},
        {"405b", 126, 16384, 128, 8, 128, 53248, 128256}}},
      {{"llama-3.2", llama, DType::bf16, 131072, 1e-5, 5e5, 128000, 128001, 32},
       {{"1b", 16, 2048, 32, 8, 64, 8192, 128256, true}, {"3b", 28, 3072, 24, 8, 128, 8192, 128256, true}}},
      {{"llama-3.3", llama, DType::bf16, 131072, 1e-5, 5e5, 128000, 128001, 8},
       {{"70b", 80, 8192, 64, 8, 128, 28672, 128256}}},
      // The first release attends within a window, the third has more pieces.
      {{"mistral", mistral, DType::bf16, 32768, 1e-5, 1e4, 1, 2, 0, 4096},
       {{"7b", 32, 4096, 32, 8, 128, 14336, 32000}, {"7b-v0.1", 32, 4096, 32, 8, 128, 14336, 32000}}},
      {{"mistral", mistral, DType::bf16, 32768, 1e-5, 1e6, 1, 2},
       {{"7b-v0.2", 32, 4096, 32, 8, 128, 14336, 32000}, {"7b-v0.3", 32, 4096, 32, 8, 128, 14336, 32768}}},
      {{"qwen2.5", "Qwen2ForCausalLM", DType::bf16, 131072, 1e-6, 1e6, 151643, 151643, 0, 0, true},
       {{"0.5b", 24, 896, 14, 2, 64, 4864, 151936, true, 32768},
        {"1.5b", 28, 1536, 12, 2, 128, 8960, 151936, true},
        {"3b", 36, 2048, 16, 2, 128, 11008, 151936, true, 32768},
        {"7b", 28, 3584, 28, 4, 128, 18944, 152064},
        {"14b", 48, 5120, 40, 8, 128, 13824, 152064, false, 0, 1e-5},
        {"32b", 64, 5120, 40, 8, 128, 27648, 152064, false, 0, 1e-5},
        {"72b", 80, 8192, 64, 8, 128, 29568, 152064, false, 0, 1e-5}}},
      {{"qwen3", "Qwen3ForCausalLM", DType::bf16, 40960, 1e-6, 1e6, 151643, 151645, 0, 0, false, true},
       {{"0.6b", 28, 1024, 16, 8, 128, 3072, 151936, true},
        {"1.7b", 28, 2048, 16, 8, 128, 6144, 151936, true},
        {"4b", 36, 2560, 32, 8, 128, 9728, 151936, true},
        {"8b", 36, 4096, 32, 8, 128, 12288, 151936},
        {"14b", 40, 5120, 40, 8, 128, 17408, 151936},
        {"32b", 64, 5120, 64, 8, 128, 25600, 151936}}},
  };
  return all;
}

std::string full_name(const Family& family, const Size& size) { return fmt::format("{}-{}", family.name, size.name); }

ModelConfig config_of(const Family& family, const Size& size) {
  ModelConfig config;
  config.name = full_name(family, size);
  config.architecture = family.architecture;
  config.hidden = size.hidden;
  config.intermediate = size.intermediate;
  config.layers = size.layers;
  config.heads = size.heads;
  config.kv_heads = size.kv_heads;
  config.head_dim = size.head_dim;
  config.vocabulary = size.vocabulary;
  config.max_positions = size.positions > 0 ? size.positions : family.positions;
  config.rms_norm_epsilon = size.rms_norm_epsilon > 0 ? size.rms_norm_epsilon : family.rms_norm_epsilon;
  config.rope_theta = family.rope_theta;
  if (family.llama3_factor > 0)
    config.rope_scaling = {
        .kind = RopeScaling::Kind::llama3, .factor = family.llama3_factor, .original_positions = 8192};
  config.qkv_bias = family.qkv_bias;
  config.qk_norm = family.qk_norm;
  if (family.window > 0) config.windows.assign(static_cast<std::size_t>(size.layers), family.window);
  config.tied_embeddings = size.tied;
  config.dtype = family.dtype;
  config.bos_token = family.bos_token;
  config.eos_tokens = {family.eos_token};
  return config;
}

// Without owner, case, separators, and the words for what does not change a shape.
std::string plain(std::string_view name) {
  std::string text(name.substr(name.find_last_of('/') + 1));  // npos + 1 is 0
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return c == '_' ? '-' : std::tolower(c); });
  text = "-" + text + "-";
  for (const std::string_view word : {"-meta-", "-hf-", "-instruct-", "-chat-", "-base-", "-it-"})
    if (const auto at = text.find(word); at != std::string::npos) text.erase(at, word.size() - 1);
  std::erase(text, '-');
  return text;
}

}  // namespace

std::optional<ModelConfig> named_shape(std::string_view name) {
  const std::string wanted = plain(name);
  for (const auto& [family, sizes] : all_shapes())
    for (const Size& size : sizes)
      if (plain(full_name(family, size)) == wanted) return config_of(family, size);
  return std::nullopt;
}

bool is_shape_name(std::string_view name) {
  const auto found = named_shape(name);
  return found && found->name == name;
}

std::vector<std::string> shape_families() {
  std::vector<std::string> lines;
  std::string_view last;
  for (const auto& [family, sizes] : all_shapes()) {
    std::vector<std::string_view> names;
    for (const Size& size : sizes) names.push_back(size.name);
    if (family.name == last)
      lines.back() += fmt::format(" {}", fmt::join(names, " "));
    else
      lines.push_back(fmt::format("{}-{}", family.name, fmt::join(names, " ")));
    last = family.name;
  }
  return lines;
}

std::string nearest_shape(std::string_view name) {
  std::vector<std::string> names, plain_names;
  for (const auto& [family, sizes] : all_shapes())
    for (const Size& size : sizes) {
      names.push_back(full_name(family, size));
      plain_names.push_back(plain(names.back()));
    }
  const std::string near = nearest(plain(name), plain_names);
  const auto found = std::find(plain_names.begin(), plain_names.end(), near);
  return found == plain_names.end() ? "" : names[static_cast<std::size_t>(found - plain_names.begin())];
}

}  // namespace batchscope
