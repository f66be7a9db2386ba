// A link's setting as JSON: exact, unlike the text that people write.
#pragma once

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "device/link.h"

namespace batchscope {

nlohmann::json link_json(const LinkSpec& link);  // {kind, bytes_per_second, latency_ns}; what is not set is null
LinkSpec link_from_json(const JsonObject& fields);

}  // namespace batchscope
