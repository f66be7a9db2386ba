// What tests of config.json read, and what they are refused with.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/test_refusal.h"
#include "model/config.h"

namespace batchscope {

inline ModelConfig parse(const nlohmann::json& config) {
  return parse_huggingface_config(config.dump(), "config.json");
}

inline std::string config_error(const nlohmann::json& config) {
  return refusal([&] { parse(config); });
}

}  // namespace batchscope
