// One cell for people: what `eval` prints.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/json.h"

namespace batchscope {

// What the sentinel saw of a cell; where it could not look, why; "" where nobody looked.
std::string sentinel_text(const JsonObject& result);

// From the object of `eval --json`, so that both say the same; 80 columns.
std::string cell_text(const nlohmann::json& result, bool colour);

}  // namespace batchscope
