// Reading JSON safely (base/json.h) on nlohmann's parser.
#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/utf8.h"

namespace batchscope {
namespace {

using nlohmann::json;

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

// Characters that a terminal obeys instead of showing them: C1 controls, marks that turn the direction of text, ends of
// lines.
bool is_obeyed(std::string_view character) {
  if (character.size() == 2) return character[0] == '\xc2' && static_cast<unsigned char>(character[1]) < 0xa0;
  return (character >= "\u202a" && character <= "\u202e") || (character >= "\u2066" && character <= "\u2069") ||
         character == "\u200e" || character == "\u200f" || character == "\u2028" || character == "\u2029";
}

// Appends the character at `i`, escaped unless a terminal shows it; returns how many bytes it has.
std::size_t append_visible(std::string& out, std::string_view text, std::size_t i) {
  std::size_t end = i;
  const bool is_well_formed = next_code_point(text, end).has_value();
  const std::string_view character = text.substr(i, end - i);
  const auto byte = static_cast<unsigned char>(text[i]);
  if (!is_well_formed || byte < 0x20 || byte == 0x7f || is_obeyed(character)) {
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

namespace {

// Of a sequence that sets a colour or weight, such as our tables have, at `i`; 0 where there is none.
std::size_t colour_length(std::string_view text, std::size_t i) {
  if (text.substr(i, 2) != "\x1b[") return 0;
  const std::size_t end = text.find_first_not_of("0123456789;", i + 2);
  return end != std::string_view::npos && text[end] == 'm' && end - i < 10 ? end + 1 - i : 0;
}

}  // namespace

std::string visible_lines(std::string_view text, bool has_colours) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '\n' || text[i] == '\t') {
      out += text[i++];
    } else if (const std::size_t length = has_colours ? colour_length(text, i) : 0; length > 0) {
      out += text.substr(i, length);
      i += length;
    } else {
      i += append_visible(out, text, i);
    }
  }
  return out;
}

std::optional<std::size_t> first_not_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (!next_code_point(text, at)) return begin;
  }
  return std::nullopt;
}

namespace {

// With the numbers that only Python has as texts; absent where there are none.
std::optional<std::string> without_nan(std::string_view text) {
  constexpr std::string_view words[] = {"-Infinity", "Infinity", "NaN"};
  std::string out;
  bool in_string = false, found = false;
  for (std::size_t i = 0; i < text.size();) {
    const auto word = in_string ? std::end(words) : std::find_if(std::begin(words), std::end(words), [&](auto each) {
      return text.substr(i).starts_with(each);
    });
    if (word != std::end(words)) {
      out += fmt::format("\"{}\"", *word);
      i += word->size();
      found = true;
      continue;
    }
    if (in_string && text[i] == '\\' && i + 1 < text.size())
      out += text[i++];
    else if (text[i] == '"')
      in_string = !in_string;
    out += text[i++];
  }
  return found ? std::optional(out) : std::nullopt;
}

// "\\ud83d": the first or the second half of a character beyond the first 65536.
bool is_half_a_character(std::string_view escape) {
  if (escape.size() < 4 || !escape.starts_with("\\u")) return false;
  const char group = static_cast<char>(escape[2] | 0x20), half = static_cast<char>(escape[3] | 0x20);
  return group == 'd' && (half == '8' || half == '9' || (half >= 'a' && half <= 'f'));
}

// What stopped the parser, where it is something that people have.
std::string what_is_wrong(std::string_view near) {
  for (std::size_t i = 0; i < near.size(); ++i)
    if (is_half_a_character(near.substr(i)))
      return "half a character (a lone surrogate, as \\ud83d without its other half); the program that wrote it cut "
             "the text";
  return "not valid JSON; the file is damaged or of another kind";
}

}  // namespace

json parse_json(std::string_view text, std::string_view origin, std::int64_t first_line, int max_depth) {
  refuse_foreign_text(text, first_line == 1 ? std::string(origin) : fmt::format("{}:{}", origin, first_line));
  if (const auto at = first_not_utf8(text))
    throw InputError("{}: not UTF-8 (Latin-1, perhaps); convert the file: iconv -f latin1 -t utf-8",
                     place(text, *at, origin, first_line));
  check_depth(text, origin, first_line, max_depth);
  try {
    return json::parse(text);
  } catch (const json::parse_error& error) {
    if (const auto plain = without_nan(text); plain && json::accept(*plain)) return json::parse(*plain);
    const std::size_t at = error.byte > 0 ? error.byte - 1 : 0;
    const std::string_view near = text.substr(at > 12 ? std::min(at, text.size()) - 12 : 0, 14);
    throw InputError("{}: {}", place(text, at, origin, first_line), what_is_wrong(near));
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
