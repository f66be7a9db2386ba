// Reading JSON safely (base/json.h) on nlohmann's parser.
#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "base/error.h"

namespace batchscope {
namespace {

using nlohmann::json;

// Length of the well-formed UTF-8 sequence at `at`, 0 if there is none.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  if (length == 3 && ((first == 0xe0 && byte(at + 1) < 0xa0) || (first == 0xed && byte(at + 1) >= 0xa0))) return 0;
  if (length == 4 && ((first == 0xf0 && byte(at + 1) < 0x90) || (first == 0xf4 && byte(at + 1) >= 0x90))) return 0;
  return length;
}

// "origin:line:column" of the byte at `offset`.
std::string place(std::string_view text, std::size_t offset, std::string_view origin, std::int64_t first_line) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = first_line + std::count(before.begin(), before.end(), '\n');
  const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  return fmt::format("{}:{}:{}", origin, line, before.size() - line_begin + 1);
}

// The parser itself keeps its own stack, but copying and printing a value recurse: deep values must not get that far.
void check_depth(std::string_view text, std::string_view origin, std::int64_t first_line, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > max_depth)
        throw InputError("{}: nested deeper than {} levels; not a file of this kind",
                         place(text, i, origin, first_line), max_depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

// A value as a message shows it: short, and never dumped whole.
std::string shown(const json& value) {
  if (value.is_string()) return quote(value.get_ref<const std::string&>());
  if (value.is_object()) return "an object";
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  return value.dump();
}

}  // namespace

namespace {

// Characters that a terminal obeys instead of showing them: C1 controls, and marks that turn the direction of text.
bool is_obeyed(std::string_view character) {
  if (character.size() == 2) return character[0] == '\xc2' && static_cast<unsigned char>(character[1]) < 0xa0;
  return (character >= "\u202a" && character <= "\u202e") || (character >= "\u2066" && character <= "\u2069");
}

// Appends the character at `i`, escaped unless a terminal shows it; returns how many bytes it has.
std::size_t append_visible(std::string& out, std::string_view text, std::size_t i) {
  const std::size_t length = utf8_length(text, i);
  const std::string_view character = text.substr(i, std::max<std::size_t>(length, 1));
  const auto byte = static_cast<unsigned char>(text[i]);
  if (length == 0 || byte < 0x20 || byte == 0x7f || is_obeyed(character)) {
    for (const char c : character) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  } else {
    out += character;
  }
  return character.size();
}

}  // namespace

std::string quote(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size();) {
    if (out.size() > longest) {
      out += "…";
      break;
    }
    if (text[i] == '"' || text[i] == '\\') out += '\\';
    i += append_visible(out, text, i);
  }
  return out + '"';
}

std::string visible(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) i += append_visible(out, text, i);
  return out;
}

json parse_json(std::string_view text, std::string_view origin, std::int64_t first_line, int max_depth) {
  check_depth(text, origin, first_line, max_depth);
  try {
    return json::parse(text);
  } catch (const json::parse_error& error) {
    throw InputError("{}: not valid JSON; the file is damaged or of another kind",
                     place(text, error.byte > 0 ? error.byte - 1 : 0, origin, first_line));
  } catch (const json::exception&) {  // a number outside double's range
    throw InputError("{}:{}: not valid JSON: a number in it is too large", origin, first_line);
  }
}

JsonObject::JsonObject(const json& value, std::string where, std::string prefix)
    : value_(&value), where_(std::move(where)), prefix_(std::move(prefix)) {
  if (value.is_object()) return;
  const std::string_view key = std::string_view(prefix_).substr(0, prefix_.empty() ? 0 : prefix_.size() - 1);
  throw InputError("{}: {}{}expected an object, found {}", where_, key, key.empty() ? "" : ": ", shown(value));
}

const json* JsonObject::find(std::string_view key) const {
  const auto found = value_->find(key);
  return found == value_->end() || found->is_null() ? nullptr : &*found;
}

std::string JsonObject::name(std::string_view key) const {
  const std::string quoted_key = quote(key);  // keys come from the file, too
  return fmt::format("{}: {}{}", where_, prefix_, std::string_view(quoted_key).substr(1, quoted_key.size() - 2));
}

void JsonObject::refuse(std::string_view key, std::string_view expected) const {
  const auto found = value_->find(key);
  throw InputError("{}: expected {}, found {}", name(key), expected,
                   found == value_->end() ? "nothing" : shown(*found));
}

const json& JsonObject::need(std::string_view key, std::string_view expected) const {
  const json* found = find(key);
  if (found == nullptr) refuse(key, expected);
  return *found;
}

std::int64_t JsonObject::integer(std::string_view key, std::int64_t low, std::int64_t high,
                                 std::optional<std::int64_t> fallback) const {
  if (fallback && !has(key)) return *fallback;
  const std::string expected = fmt::format("a whole number from {} to {}", low, high);
  const json& value = need(key, expected);
  const bool too_large =
      value.is_number_unsigned() &&
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!value.is_number_integer() || too_large) refuse(key, expected);
  const auto result = value.get<std::int64_t>();
  if (result < low || result > high) refuse(key, expected);
  return result;
}

double JsonObject::number(std::string_view key, double low, double high, std::optional<double> fallback) const {
  if (fallback && !has(key)) return *fallback;
  const std::string expected = fmt::format("a number above {} and at most {}", low, high);
  const json& value = need(key, expected);
  if (!value.is_number()) refuse(key, expected);
  const auto result = value.get<double>();
  if (!(result > low && result <= high)) refuse(key, expected);
  return result;
}

bool JsonObject::boolean(std::string_view key, std::optional<bool> fallback) const {
  if (fallback && !has(key)) return *fallback;
  const json& value = need(key, "true or false");
  if (!value.is_boolean()) refuse(key, "true or false");
  return value.get<bool>();
}

std::string JsonObject::text(std::string_view key, std::optional<std::string> fallback) const {
  if (fallback && !has(key)) return *fallback;
  const json& value = need(key, "a text");
  if (!value.is_string()) refuse(key, "a text");
  return value.get<std::string>();
}

std::vector<std::string> JsonObject::texts(std::string_view key) const {
  const json& value = need(key, "a list of texts");
  if (!value.is_array()) refuse(key, "a list of texts");
  std::vector<std::string> result;
  for (const json& element : value) {
    if (!element.is_string())
      throw InputError("{}[{}]: expected a text, found {}", name(key), result.size(), shown(element));
    result.push_back(element.get<std::string>());
  }
  return result;
}

JsonObject JsonObject::object(std::string_view key) const {
  return {need(key, "an object"), where_, name(key).substr(where_.size() + 2) + "."};
}

}  // namespace batchscope
