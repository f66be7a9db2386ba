// Reading RoPE: rope_theta at the top or inside, rope_parameters or rope_scaling, rope_type or type.
#include "model/huggingface_rope.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/rope_frequencies.h"

namespace batchscope {
namespace {

using nlohmann::json;
using Kind = RopeScaling::Kind;

constexpr double largest_theta = 1e15;
constexpr double largest_factor = 1e6;

// Each type, and which keys it reads besides those that all have.
struct RopeType {
  std::string_view name;
  Kind kind;
  std::vector<std::string_view> keys;
};
const std::vector<RopeType>& rope_types() {
  static const std::vector<RopeType> types{
      {"default", Kind::none, {}},
      {"linear", Kind::linear, {"factor"}},
      {"dynamic", Kind::dynamic, {"factor"}},
      {"llama3", Kind::llama3, {"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"}},
      {"yarn",
       Kind::yarn,
       {"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale",
        "mscale_all_dim", "truncate"}}};
  return types;
}

bool reads(const RopeType& type, std::string_view key) {
  return std::find(type.keys.begin(), type.keys.end(), key) != type.keys.end();
}

const RopeType& read_type(const JsonObject& rope) {
  const std::string name = rope.text("rope_type", rope.text("type", "default"));
  std::string supported;
  for (const RopeType& type : rope_types()) {
    if (type.name == name) return type;
    supported += (supported.empty() ? "" : ", ") + std::string(type.name);
  }
  throw InputError("{}: not supported yet: {}; supported: {}", rope.name(rope.has("rope_type") ? "rope_type" : "type"),
                   quote(name), supported);
}

// Unknown keys may change numbers; those of another type change none, in transformers too.
void check_keys(const JsonObject& rope, const RopeType& type) {
  constexpr std::array common{"rope_type", "type", "rope_theta", "finetuned"};
  std::string unused;
  for (const auto& [key, value] : rope.value().items()) {
    if (value.is_null() || reads(type, key) || std::find(common.begin(), common.end(), key) != common.end()) continue;
    if (key == "partial_rotary_factor" && value.is_number() && value == 1) continue;
    const bool known = std::any_of(rope_types().begin(), rope_types().end(),
                                   [&name = key](const RopeType& other) { return reads(other, name); });
    if (!known) rope.refuse(key, "nothing (not supported yet)");
    unused += (unused.empty() ? "" : ", ") + key;
  }
  if (!unused.empty())
    spdlog::warn("{}: not used with type {}: {}", rope.name(rope.has("rope_type") ? "rope_type" : "type"), type.name,
                 unused);
}

// Above 0; null and 0 mean the usual value, as they do in transformers.
double factor_or(const JsonObject& rope, std::string_view key, double usual) {
  const json* value = rope.find(key);
  if (value == nullptr || (value->is_number() && *value == 0)) return usual;
  return rope.number(key, 0, largest_factor);
}

// A field of the whole file goes before the group's; without either it is max_position_embeddings.
std::int64_t original_positions(const JsonObject& file, const JsonObject& rope, std::int64_t max_positions) {
  constexpr const char* key = "original_max_position_embeddings";
  return (file.has(key) ? file : rope).integer(key, 1, ModelLimits::positions, max_positions);
}

void read_llama3(const JsonObject& rope, RopeScaling& scaling) {
  scaling.low_frequency_factor = rope.number("low_freq_factor", 0, largest_factor);
  scaling.high_frequency_factor = rope.number("high_freq_factor", 0, largest_factor);
}

void read_yarn(const JsonObject& rope, RopeScaling& scaling) {
  scaling.beta_fast = factor_or(rope, "beta_fast", 32);
  scaling.beta_slow = factor_or(rope, "beta_slow", 1);
  // Here null is false, and only absence is true.
  if (rope.value().contains("truncate")) scaling.truncate = rope.boolean("truncate", false);
  const double mscale = factor_or(rope, "mscale", 0), all = factor_or(rope, "mscale_all_dim", 0);
  double usual = yarn_attention_factor(scaling.factor);
  if (mscale != 0 && all != 0)
    usual = yarn_attention_factor(scaling.factor, mscale) / yarn_attention_factor(scaling.factor, all);
  scaling.attention_factor = rope.number("attention_factor", 0, largest_factor, usual);
}

RopeScaling read_scaling(const JsonObject& file, const JsonObject& rope, const RopeType& type,
                         std::int64_t max_positions) {
  RopeScaling scaling{.kind = type.kind};
  if (reads(type, "original_max_position_embeddings"))
    scaling.original_positions = original_positions(file, rope, max_positions);
  // Where yarn's factor is null, how far the positions were stretched says it.
  if (type.kind == Kind::yarn && rope.value().contains("factor") && !rope.has("factor"))
    scaling.factor = static_cast<double>(max_positions) / static_cast<double>(scaling.original_positions);
  else if (reads(type, "factor"))
    scaling.factor = rope.number("factor", 0, largest_factor);
  if (type.kind == Kind::llama3) read_llama3(rope, scaling);
  if (type.kind == Kind::yarn) read_yarn(rope, scaling);
  return scaling;
}

// The key of the group that holds; "" if there is none.
std::string group_key(const JsonObject& file) {
  const auto filled = [&](const char* key) {
    const json* value = file.find(key);
    return value != nullptr && !(value->is_object() && value->empty());
  };
  const bool old = filled("rope_scaling"), current = filled("rope_parameters");
  if (old && current && *file.find("rope_scaling") != *file.find("rope_parameters"))
    throw InputError("{}: contradicts rope_parameters; keep one of them", file.name("rope_scaling"));
  return old ? "rope_scaling" : current ? "rope_parameters" : "";
}

}  // namespace

void read_rope(const JsonObject& file, ModelConfig& config) {
  config.rope_theta = file.number("rope_theta", 0, largest_theta, 10000);
  const std::string key = group_key(file);
  if (key.empty()) return;
  const JsonObject rope = file.object(key);
  for (const char* layers : {"full_attention", "sliding_attention"})
    if (rope.has(layers))
      throw InputError("{}: RoPE of its own for each type of layer is not supported; a {} has one for all",
                       rope.name(layers), config.architecture);
  const RopeType& type = read_type(rope);
  check_keys(rope, type);
  const double inner = rope.number("rope_theta", 0, largest_theta, config.rope_theta);
  if (inner != config.rope_theta && file.has("rope_theta"))
    throw InputError("{}: {} contradicts rope_theta {}; keep one of them", rope.name("rope_theta"), inner,
                     config.rope_theta);
  config.rope_theta = inner;
  config.rope_scaling = read_scaling(file, rope, type, config.max_positions);
}

}  // namespace batchscope
