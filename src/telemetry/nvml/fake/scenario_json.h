// Reading JSON that is a scenario's: words, quantities in their units, lists of objects, no unknown keys.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"

namespace batchscope::nvml::fake {

template <class Value>
struct Word {
  std::string_view word;
  Value value;
};

template <class Value, std::size_t size>
std::string all_words(const std::array<Word<Value>, size>& words) {
  std::string all;
  for (const auto& each : words) all += (all.empty() ? "" : " | ") + std::string(each.word);
  return all;
}

inline void know_keys(const JsonObject& object, std::span<const std::string_view> keys) {
  for (const auto& [key, value] : object.value().items()) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    const std::string near = nearest(key, keys);
    throw InputError("{}: unknown key{}", object.name(key), near.empty() ? "" : fmt::format("; \"{}\"?", near));
  }
}

template <class Value, std::size_t size>
Value word(const JsonObject& object, std::string_view key, const std::array<Word<Value>, size>& words,
           std::optional<Value> fallback = {}) {
  if (fallback && !object.has(key)) return *fallback;
  const std::string expected = all_words(words);
  const nlohmann::json* value = object.find(key);
  if (value != nullptr && value->is_string())
    for (const auto& each : words)
      if (each.word == value->get_ref<const std::string&>()) return each.value;
  object.refuse(key, expected);
}

// A number within [low, high], times `unit`, rounded.
inline std::int64_t quantity(const JsonObject& object, std::string_view key, double low, double high, double unit,
                             std::optional<double> fallback = {}) {
  const nlohmann::json* value = object.find(key);
  if (value == nullptr && fallback) return std::llround(*fallback * unit);
  if (value == nullptr || !value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high))
    object.refuse(key, fmt::format("a number from {} to {}", low, high));
  return std::llround(value->get<double>() * unit);
}

constexpr double longest_s = 1e8;
inline Nanoseconds seconds(const JsonObject& object, std::string_view key, double low = 0,
                           std::optional<double> fallback = {}) {
  return Nanoseconds(quantity(object, key, low, longest_s, 1e9, fallback));
}
inline Nanoseconds milliseconds(const JsonObject& object, std::string_view key, double low, double fallback) {
  return Nanoseconds(quantity(object, key, low, 1e6, 1e6, fallback));
}
inline std::uint32_t small(const JsonObject& object, std::string_view key, std::int64_t low, std::int64_t high,
                           std::int64_t fallback) {
  return static_cast<std::uint32_t>(object.integer(key, low, high, fallback));
}

// The elements of a list, one by one, as objects.
template <class Take>
void each_object(const JsonObject& object, std::string_view key, std::size_t most, const Take& take) {
  const nlohmann::json* list = object.find(key);
  if (list == nullptr) return;
  if (!list->is_array() || list->size() > most) object.refuse(key, fmt::format("a list of at most {} objects", most));
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string name = object.name(key).substr(object.where().size() + 2);
    take(JsonObject((*list)[i], object.where(), fmt::format("{}[{}].", name, i)));
  }
}

constexpr std::int64_t most_bytes = 1'000'000'000'000'000;  // also a second

}  // namespace batchscope::nvml::fake
