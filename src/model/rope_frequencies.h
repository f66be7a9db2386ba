// The frequencies that rotary embeddings turn with, scaled as the configuration says.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace batchscope {

// [head_dim / 2], radians a position. `length`, the tokens of the sequence, matters under dynamic scaling alone: up to
// max_positions it changes nothing.
std::vector<float> inverse_frequencies(const ModelConfig& config, std::int64_t length);

// yarn's factor of cosines and sines where a checkpoint states none: 0.1 * mscale * ln(factor) + 1.
double yarn_attention_factor(double factor, double mscale = 1);

}  // namespace batchscope
