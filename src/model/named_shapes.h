// The shapes of well-known models, as their config.json on the Hub has them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace batchscope {

// "llama-3.1-8b"; absent for a name that is none of ours. Case, owner, and what does not change the shape may differ:
// "meta-llama/Llama-3.1-8B-Instruct", "Llama-2-7b-hf".
std::optional<ModelConfig> named_shape(std::string_view name);
// To the letter.
bool is_shape_name(std::string_view name);

// A line a family: "llama-2-7b 13b 70b".
std::vector<std::string> shape_families();
// The name that `name` is nearest to; "" where none is near.
std::string nearest_shape(std::string_view name);

}  // namespace batchscope
