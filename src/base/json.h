// JSON that others wrote, read safely: every error is one line that names origin, place and key.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope {

// Parses one JSON value. InputError "origin:line:column: …" when it is none or nests deeper than `max_depth`; lines
// count from `first_line`, for a text that is itself a line of a file. Of equal keys the last one wins, as in Python.
// NaN and Infinity, which Python writes and reads, become the texts "NaN" and "Infinity": no accessor takes them for a
// number.
nlohmann::json parse_json(std::string_view text, std::string_view origin, std::int64_t first_line = 1,
                          int max_depth = 64);

// Where the first byte stands that is in no well-formed UTF-8 sequence; absent: all are.
std::optional<std::size_t> first_not_utf8(std::string_view text);

// Any bytes as they may stand in a message: quoted, one line, control characters and broken UTF-8 escaped, long ones
// cut.
std::string quote(std::string_view text);
// The same without quotes and whole: what a terminal shows and does not obey, on one line.
std::string visible(std::string_view text);
// The same of a text of lines; where it may have colours, sequences that set them stay.
std::string visible_lines(std::string_view text, bool has_colours);

// A JSON object together with where it stands, so that each accessor's error can say what, where and what was expected.
// A key whose value is null counts as absent. Holds a reference: the value must outlive it.
class JsonObject {
 public:
  // `where` is the file, or file and line; `prefix` leads to this object inside it ("rope_parameters.").
  JsonObject(const nlohmann::json& value, std::string where, std::string prefix = {});
  JsonObject(nlohmann::json&&, std::string, std::string = {}) = delete;

  const std::string& where() const { return where_; }
  const nlohmann::json& value() const { return *value_; }
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const nlohmann::json* find(std::string_view key) const;  // null when absent

  // Required when there is no fallback.
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high,
                       std::optional<std::int64_t> fallback = {}) const;
  // Above `low` and at most `high`.
  double number(std::string_view key, double low, double high, std::optional<double> fallback = {}) const;
  bool boolean(std::string_view key, std::optional<bool> fallback = {}) const;
  std::string text(std::string_view key, std::optional<std::string> fallback = {}) const;
  std::vector<std::string> texts(std::string_view key) const;
  JsonObject object(std::string_view key) const;

  // Throws "where: key: expected …, found …".
  [[noreturn]] void refuse(std::string_view key, std::string_view expected) const;
  // "where: key", to begin other messages with.
  std::string name(std::string_view key) const;

 private:
  const nlohmann::json& need(std::string_view key, std::string_view expected) const;

  const nlohmann::json* value_;
  std::string where_, prefix_;
};

}  // namespace batchscope
