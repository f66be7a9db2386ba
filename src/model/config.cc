// A model's sizes: what they add up to and how they must fit one another (model/config.h).
#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/error.h"

namespace batchscope {

std::int64_t ModelConfig::longest_input() const {
  if (rope_scaling.kind != RopeScaling::Kind::dynamic) return max_positions;
  const double stretched = static_cast<double>(max_positions) * std::max(rope_scaling.factor, 1.0);
  return static_cast<std::int64_t>(std::min(stretched, static_cast<double>(ModelLimits::positions)));
}

std::int64_t ModelConfig::parameters() const {
  const std::int64_t attention = hidden * head_dim * (2 * heads + 2 * kv_heads);  // query and output, key and value
  const std::int64_t mlp = 3 * hidden * intermediate;                             // gate, up, down
  const std::int64_t norms = 2 * hidden + (qk_norm ? 2 * head_dim : 0);
  const std::int64_t biases = (qkv_bias ? head_dim * (heads + 2 * kv_heads) : 0) + (attention_out_bias ? hidden : 0) +
                              (mlp_bias ? 2 * intermediate + hidden : 0);
  const std::int64_t tables = (tied_embeddings ? 1 : 2) * vocabulary * hidden;
  return layers * (attention + mlp + norms + biases) + hidden + tables;
}

namespace {

void check_rope(const ModelConfig& config, std::string_view where) {
  using Kind = RopeScaling::Kind;
  const RopeScaling& scaling = config.rope_scaling;
  const auto positive = [&](std::string_view what, double value) {
    if (!(value > 0) || !std::isfinite(value)) throw InputError("{}: {} is {}, it must be above 0", where, what, value);
  };
  positive("the rotary theta", config.rope_theta);
  positive("the rotary scaling factor", scaling.factor);
  positive("the attention factor", scaling.attention_factor);
  for (const float divisor : scaling.divisors) positive("a divisor of rotary frequencies", divisor);
  const auto divisors = std::ssize(scaling.divisors);
  if (divisors != 0 && divisors != config.head_dim / 2)
    throw InputError("{}: {} divisors of rotary frequencies, but heads of {} have {} frequencies", where, divisors,
                     config.head_dim, config.head_dim / 2);
  if (scaling.kind == Kind::dynamic && config.head_dim <= 2)
    throw InputError("{}: dynamic rotary scaling is not defined for heads of {}", where, config.head_dim);
  if (scaling.kind != Kind::llama3 && scaling.kind != Kind::yarn) return;
  if (scaling.original_positions < 1)
    throw InputError("{}: rotary scaling needs the original number of positions", where);
  if (scaling.kind == Kind::llama3) {
    positive("the low frequency factor", scaling.low_frequency_factor);
    if (!(scaling.high_frequency_factor > scaling.low_frequency_factor))
      throw InputError("{}: the high frequency factor {} is not above the low one {}", where,
                       scaling.high_frequency_factor, scaling.low_frequency_factor);
    return;
  }
  positive("yarn's beta_fast", scaling.beta_fast);
  positive("yarn's beta_slow", scaling.beta_slow);
  if (!(config.rope_theta > 1))
    throw InputError("{}: yarn is not defined for a rotary theta of {}", where, config.rope_theta);
}

}  // namespace

void check_sizes(const ModelConfig& config, std::string_view where) {
  const auto in_range = [&](std::string_view what, std::int64_t value, std::int64_t high) {
    if (value < 1 || value > high) throw InputError("{}: {} is {}, it must be from 1 to {}", where, what, value, high);
  };
  in_range("the hidden size", config.hidden, ModelLimits::hidden);
  in_range("the intermediate size", config.intermediate, ModelLimits::intermediate);
  in_range("the number of layers", config.layers, ModelLimits::layers);
  in_range("the number of attention heads", config.heads, ModelLimits::heads);
  in_range("the number of key-value heads", config.kv_heads, ModelLimits::heads);
  in_range("the head dimension", config.head_dim, ModelLimits::head_dim);
  in_range("heads times head dimension", config.heads * config.head_dim, ModelLimits::attention_width);
  in_range("the vocabulary size", config.vocabulary, ModelLimits::vocabulary);
  in_range("the number of positions", config.max_positions, ModelLimits::positions);
  if (config.heads % config.kv_heads != 0)
    throw InputError("{}: {} attention heads are not a multiple of {} key-value heads", where, config.heads,
                     config.kv_heads);
  if (config.head_dim % 2 != 0)
    throw InputError("{}: the head dimension is {}, rotary embeddings need an even one", where, config.head_dim);
  if (!config.windows.empty() && std::ssize(config.windows) != config.layers)
    throw InputError("{}: attention windows of {} layers, but the model has {}", where, config.windows.size(),
                     config.layers);
  for (const std::int64_t window : config.windows)
    if (window != 0) in_range("the attention window", window, ModelLimits::positions);
  check_rope(config, where);
}

}  // namespace batchscope
