// RoPE's frequencies: linear interpolation (Chen et al. 2023), NTK-aware with a theta that grows (bloc97, emozilla),
// Llama 3.1's bands, YaRN (Peng et al. 2023). In f32 where transformers computes in f32: the angle at a position of
// some thousands shows the difference.
#include "model/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace batchscope {
namespace {

using Kind = RopeScaling::Kind;

// theta^(2i / head_dim)
std::vector<float> wavelengths(double theta, std::int64_t head_dim) {
  std::vector<float> powers;
  for (std::int64_t i = 0; i < head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    powers.push_back(static_cast<float>(std::pow(static_cast<double>(static_cast<float>(theta)), exponent)));
  }
  return powers;
}

double dynamic_theta(const ModelConfig& config, std::int64_t length) {
  if (config.rope_scaling.kind != Kind::dynamic || length <= config.max_positions) return config.rope_theta;
  const double factor = config.rope_scaling.factor;
  const double stretch = factor * static_cast<double>(length) / static_cast<double>(config.max_positions);
  const auto dim = static_cast<double>(config.head_dim);
  constexpr double largest = std::numeric_limits<float>::max();
  return std::min(config.rope_theta * std::pow(stretch - (factor - 1), dim / (dim - 2)), largest);
}

// A frequency that turns often within the original positions is kept, a slow one is divided, between them a blend.
float llama3_frequency(const RopeScaling& scaling, float frequency) {
  const auto factor = static_cast<float>(scaling.factor);
  const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
  const float turns = static_cast<float>(scaling.original_positions) / wavelength;
  const auto low = static_cast<float>(scaling.low_frequency_factor);
  const auto high = static_cast<float>(scaling.high_frequency_factor);
  if (turns > high) return frequency;
  if (turns < low) return frequency / factor;
  const float kept = (turns - low) / (high - low);
  return (1 - kept) * frequency / factor + kept * frequency;
}

// The number, among head_dim, of the frequency that makes `turns` within the original positions.
double yarn_dimension(const ModelConfig& config, double turns) {
  const auto positions = static_cast<double>(config.rope_scaling.original_positions);
  return static_cast<double>(config.head_dim) * std::log(positions / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(config.rope_theta));
}

void scale_yarn(const ModelConfig& config, std::vector<float>& frequencies) {
  const RopeScaling& scaling = config.rope_scaling;
  double begin = yarn_dimension(config, scaling.beta_fast), end = yarn_dimension(config, scaling.beta_slow);
  if (scaling.truncate) {
    begin = std::floor(begin);
    end = std::ceil(end);
  }
  begin = std::max(begin, 0.0);
  end = std::min(end, static_cast<double>(config.head_dim - 1));
  if (begin == end) end += 0.001;  // a step, not a division by zero
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const float ramp = (static_cast<float>(i) - static_cast<float>(begin)) / static_cast<float>(end - begin);
    const float kept = 1 - std::clamp(ramp, 0.0f, 1.0f);
    const float divided = frequencies[i] / static_cast<float>(scaling.factor);
    frequencies[i] = divided * (1 - kept) + frequencies[i] * kept;
  }
}

}  // namespace

std::vector<float> inverse_frequencies(const ModelConfig& config, std::int64_t length) {
  const RopeScaling& scaling = config.rope_scaling;
  std::vector<float> frequencies = wavelengths(dynamic_theta(config, length), config.head_dim);
  for (float& frequency : frequencies) frequency = 1.0f / frequency;
  if (scaling.kind == Kind::linear)
    for (float& frequency : frequencies) frequency /= static_cast<float>(scaling.factor);
  if (scaling.kind == Kind::llama3)
    for (float& frequency : frequencies) frequency = llama3_frequency(scaling, frequency);
  if (scaling.kind == Kind::yarn) scale_yarn(config, frequencies);
  for (std::size_t i = 0; i < scaling.divisors.size(); ++i) frequencies[i] /= scaling.divisors[i];
  return frequencies;
}

double yarn_attention_factor(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

}  // namespace batchscope
