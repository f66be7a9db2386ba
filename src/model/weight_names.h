// Which tensors a model has, by name: what a checkpoint's extra ones mean.
#pragma once

#include <string_view>

#include "model/config.h"

namespace batchscope {

enum class ExtraTensor {
  harmless,        // holds nothing that is not computed from the configuration, or is not used
  unknown,         // outside of the layers that are computed: worth a warning
  changes_numbers  // belongs to a layer that is computed, and would change what it gives
};

// What a tensor means that weight_shapes(config) does not name.
ExtraTensor classify_extra_tensor(std::string_view name, const ModelConfig& config);

}  // namespace batchscope
