// RoPE as config.json spells it, in any of the forms that checkpoints carry.
#pragma once

#include "base/json.h"
#include "model/config.h"

namespace batchscope {

// Reads rope_theta, and rope_parameters or (older) rope_scaling, into `config`, whose max_positions are known.
void read_rope(const JsonObject& file, ModelConfig& config);

}  // namespace batchscope
