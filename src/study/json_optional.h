// Values that may be unknown, as JSON: null, and back.
#pragma once

#include <limits>
#include <optional>
#include <string>

#include "base/json.h"

namespace batchscope {

template <class T>
nlohmann::json json_or_null(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

constexpr std::int64_t any_integer = std::numeric_limits<std::int64_t>::max();

inline std::optional<std::int64_t> maybe_integer(const JsonObject& object, const char* key,
                                                 std::int64_t low = std::numeric_limits<std::int64_t>::min()) {
  return object.has(key) ? std::optional(object.integer(key, low, any_integer)) : std::nullopt;
}

inline std::optional<double> maybe_number(const JsonObject& object, const char* key) {
  constexpr double high = std::numeric_limits<double>::max();
  return object.has(key) ? std::optional(object.number(key, -high, high)) : std::nullopt;
}

inline std::optional<bool> maybe_boolean(const JsonObject& object, const char* key) {
  return object.has(key) ? std::optional(object.boolean(key)) : std::nullopt;
}

inline std::optional<std::string> maybe_text(const JsonObject& object, const char* key) {
  return object.has(key) ? std::optional(object.text(key)) : std::nullopt;
}

}  // namespace batchscope
