// config.json's quantization_config: which checkpoints in FP8 are read.
#pragma once

#include "base/json.h"
#include "model/config.h"

namespace batchscope {

// Sets config.fp8_block. InputError for what is not FP8 (E4M3) with a scale a tensor, a row or a block. Which tensors are
// kept so, and with what scales, the weights' files say.
void read_quantization(const JsonObject& file, ModelConfig& config);

}  // namespace batchscope
