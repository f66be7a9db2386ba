// One cell for people: what `eval` prints.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace batchscope {

// From the object of `eval --json`, so that both say the same; 80 columns.
std::string cell_text(const nlohmann::json& result, bool colour);

}  // namespace batchscope
