// Filters, tests and methods (jinja/builtins.h): Jinja's and Python's, by their names there.
#include "jinja/builtins.h"

#include <fmt/format.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/units.h"
#include "base/utf8.h"

namespace batchscope::jinja {
namespace {

constexpr std::int64_t largest_range = 100'000;

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw InputError("chat template: {}", fmt::format(format, std::forward<Args>(args)...));
}

// Arguments by place, or by name.
const Value* argument(const Arguments& given, std::size_t place, std::string_view name) {
  if (place < given.positional.size()) return &given.positional[place];
  return given.named.find(name);
}

const std::string& text_of(const Value& value, std::string_view what) {
  const auto* text = value.as<std::string>();
  if (text == nullptr) refuse("{} expects a text, not {}", what, kind_of(value));
  return *text;
}

std::int64_t whole_of(const Value& value, std::string_view what) {
  if (const auto* boolean = value.as<bool>()) return *boolean ? 1 : 0;
  const auto* whole = value.as<std::int64_t>();
  if (whole == nullptr) refuse("{} expects a whole number, not {}", what, kind_of(value));
  return *whole;
}

Value made(Budget& budget, std::string text) {
  budget.step(text.size() / 64);
  budget.make(text.size());
  return text;
}
Value made(Budget& budget, List values) {
  budget.step(values.size());
  budget.make(values.size() * sizeof(Value));
  return values;
}

template <class Map>
std::string mapped(std::string_view text, const Map& map) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (const auto point = next_code_point(text, at))
      append_code_point(map(*point), out);
    else
      out += text.substr(begin, at - begin);
  }
  return out;
}
char32_t upper_of(char32_t c) { return static_cast<char32_t>(u_toupper(static_cast<UChar32>(c))); }
char32_t lower_of(char32_t c) { return static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))); }
// The first letter of each word, or of the text, large and the others small.
std::string with_capitals(std::string_view text, bool of_each_word) {
  bool begins = true;
  return mapped(text, [&](char32_t c) {
    const char32_t out = begins ? upper_of(c) : lower_of(c);
    begins = of_each_word && !u_isalpha(static_cast<UChar32>(c));
    return out;
  });
}

bool is_space(std::string_view character) {
  std::size_t at = 0;
  const auto point = next_code_point(character, at);
  return point && (u_isUWhiteSpace(static_cast<UChar32>(*point)) || (*point >= 0x1c && *point <= 0x1f));
}

std::string stripped(const std::string& text, const Value* which, bool left, bool right) {
  const auto all = characters(text);
  std::vector<std::string> chosen;
  if (which != nullptr && !which->is<None>()) chosen = characters(text_of(*which, "strip"));
  const auto goes = [&](const std::string& c) {
    return which == nullptr || which->is<None>() ? is_space(c)
                                                 : std::find(chosen.begin(), chosen.end(), c) != chosen.end();
  };
  std::size_t begin = 0, end = all.size();
  while (left && begin < end && goes(all[begin])) ++begin;
  while (right && end > begin && goes(all[end - 1])) --end;
  std::string out;
  for (std::size_t i = begin; i < end; ++i) out += all[i];
  return out;
}

std::string replaced(Budget& budget, const std::string& text, const std::string& from, const std::string& to,
                     std::int64_t most) {
  std::string out;
  if (from.empty()) {  // before each character and at the end
    std::int64_t done = 0;
    for (const std::string& c : characters(text)) {
      if (most < 0 || done++ < most) out += to;
      out += c;
      budget.make(to.size());
    }
    return most < 0 || done < most ? out + to : out;
  }
  std::size_t at = 0;
  for (std::int64_t done = 0; most < 0 || done < most; ++done) {
    const std::size_t found = text.find(from, at);
    if (found == std::string::npos) break;
    budget.make(to.size());
    out += text.substr(at, found - at) + to;
    at = found + from.size();
  }
  return out + text.substr(at);
}

List split(const std::string& text, const Value* by, std::int64_t most, bool from_right) {
  std::vector<std::string> parts;
  if (by == nullptr || by->is<None>()) {  // by white space; none at the ends
    std::string part;
    const std::string rest = stripped(text, nullptr, true, true);
    const auto all = characters(rest);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (!is_space(all[i]) || (most >= 0 && std::ssize(parts) >= most)) {
        part += all[i];
      } else {
        if (!part.empty()) parts.push_back(std::exchange(part, {}));
      }
      // What is left over begins with no white space.
      if (most >= 0 && std::ssize(parts) >= most && part.size() == all[i].size() && is_space(part)) part.clear();
    }
    if (!part.empty()) parts.push_back(part);
  } else {
    const std::string& separator = text_of(*by, "split");
    if (separator.empty()) refuse("split: the separator is empty");
    if (from_right) {
      std::size_t end = text.size();
      while (most < 0 || std::ssize(parts) < most) {
        if (end < separator.size()) break;
        const std::size_t found = text.rfind(separator, end - separator.size());
        if (found == std::string::npos) break;
        parts.insert(parts.begin(), text.substr(found + separator.size(), end - found - separator.size()));
        end = found;
        if (end == 0) break;
      }
      parts.insert(parts.begin(), text.substr(0, end));
    } else {
      std::size_t begin = 0;
      while (most < 0 || std::ssize(parts) < most) {
        const std::size_t found = text.find(separator, begin);
        if (found == std::string::npos) break;
        parts.push_back(text.substr(begin, found - begin));
        begin = found + separator.size();
      }
      parts.push_back(text.substr(begin));
    }
  }
  List values;
  for (std::string& part : parts) values.emplace_back(std::move(part));
  return values;
}

// "a.b" of each, or the item of that number.
Value attribute_path(const Value& value, const Value& path) {
  if (path.is<std::int64_t>()) return item_of(value, path);
  Value at = value;
  std::string_view rest = text_of(path, "attribute");
  while (true) {
    const auto dot = rest.find('.');
    const std::string name(rest.substr(0, dot));
    const Value* held = at.is<Dict>() ? at.as<Dict>()->find(name) : nullptr;
    at = held != nullptr ? Value(*held) : attribute_of(at, name);
    if (dot == std::string_view::npos) return at;
    rest.remove_prefix(dot + 1);
  }
}

Value length(Budget&, const Value& value, const Arguments&) {
  if (const auto* text = value.as<std::string>()) return static_cast<std::int64_t>(code_points(*text));
  if (const auto* list = value.as<List>()) return static_cast<std::int64_t>(list->size());
  if (const auto* dict = value.as<Dict>()) return static_cast<std::int64_t>(dict->size());
  if (value.is<Undefined>()) return std::int64_t{0};
  refuse("length of {}", kind_of(value));
}

Value join(Budget& budget, const Value& value, const Arguments& given) {
  const Value* by = argument(given, 0, "d");
  const Value* attribute = argument(given, 1, "attribute");
  const std::string separator = by != nullptr ? to_text(budget, *by) : "";
  std::string out;
  bool first = true;
  for (const Value& each : items_of(budget, value)) {
    if (!std::exchange(first, false)) out += separator;
    budget.make(separator.size());
    out += to_text(budget, attribute != nullptr ? attribute_path(each, *attribute) : each);
  }
  return out;
}

Value fallback(Budget&, const Value& value, const Arguments& given) {
  const Value* other = argument(given, 0, "default_value");
  const Value* of_false = argument(given, 1, "boolean");
  const bool missing = value.is<Undefined>() || (of_false != nullptr && is_true(*of_false) && !is_true(value));
  return missing ? (other != nullptr ? *other : Value("")) : value;
}

Value json(Budget& budget, const Value& value, const Arguments& given) {
  const Value* indent = argument(given, 0, "indent");
  const Value* named = given.named.find("indent");
  if (named != nullptr) indent = named;
  const bool lines = indent != nullptr && indent->is<std::int64_t>();
  return to_json(budget, value,
                 lines ? static_cast<int>(std::clamp<std::int64_t>(whole_of(*indent, "indent"), 0, 16)) : -1);
}

Value pairs_of(Budget& budget, const Value& value, const Arguments&) {
  if (value.is<Undefined>()) return List{};
  const auto* dict = value.as<Dict>();
  if (dict == nullptr) refuse("items of {}", kind_of(value));
  List all;
  for (const auto& [key, each] : *dict) all.push_back(List{Value(key), each});
  return made(budget, std::move(all));
}

Value sorted_pairs(Budget& budget, const Value& value, const Arguments& given) {
  List all = *pairs_of(budget, value, given).as<List>();
  std::stable_sort(all.begin(), all.end(), [](const Value& a, const Value& b) {
    return is_less(a.as<List>()->front(), b.as<List>()->front());
  });
  return all;
}

Value sorted(Budget& budget, const Value& value, const Arguments& given) {
  List all = items_of(budget, value);
  const Value* reverse = argument(given, 0, "reverse");
  const Value* case_matters = argument(given, 1, "case_sensitive");
  const Value* attribute = argument(given, 2, "attribute");
  const auto key = [&](const Value& each) {
    Value found = attribute != nullptr ? attribute_path(each, *attribute) : each;
    const auto* text = found.as<std::string>();
    return text != nullptr && (case_matters == nullptr || !is_true(*case_matters)) ? Value(mapped(*text, lower_of))
                                                                                   : found;
  };
  std::stable_sort(all.begin(), all.end(), [&](const Value& a, const Value& b) {
    budget.step();
    return is_less(key(a), key(b));
  });
  if (reverse != nullptr && is_true(*reverse)) std::reverse(all.begin(), all.end());
  return all;
}

Value reversed(Budget& budget, const Value& value, const Arguments&) {
  List all = items_of(budget, value);
  std::reverse(all.begin(), all.end());
  if (!value.is<std::string>()) return all;
  std::string out;
  for (const Value& each : all) out += *each.as<std::string>();
  return out;
}

Value unique(Budget& budget, const Value& value, const Arguments&) {
  List out;
  for (const Value& each : items_of(budget, value))
    if (std::none_of(out.begin(), out.end(), [&](const Value& other) { return are_equal(budget, each, other); }))
      out.push_back(each);
  return out;
}

Value end_of(Budget& budget, const Value& value, bool last) {
  const List all = items_of(budget, value);
  if (all.empty()) return Undefined{last ? "last" : "first"};
  return last ? all.back() : all.front();
}

Arguments without_first(const Arguments& given, std::size_t count) {
  Arguments rest = given;
  rest.positional.erase(rest.positional.begin(), rest.positional.begin() + std::min(static_cast<std::ptrdiff_t>(count),
                                                                                    std::ssize(rest.positional)));
  return rest;
}

Value map(Budget& budget, const Value& value, const Arguments& given) {
  List out;
  const Value* attribute = given.named.find("attribute");
  const Value* otherwise = given.named.find("default");
  if (attribute == nullptr && given.positional.empty()) refuse("map: the name of a filter, or attribute=, is missing");
  const Builtin filter = attribute == nullptr ? find_filter(text_of(given.positional[0], "map")) : nullptr;
  if (attribute == nullptr && filter == nullptr) refuse("map: there is no such filter");
  const Arguments rest = without_first(given, 1);
  for (const Value& each : items_of(budget, value)) {
    if (filter != nullptr) {
      out.push_back(filter(budget, each, rest));
      continue;
    }
    Value found = attribute_path(each, *attribute);
    out.push_back(found.is<Undefined>() && otherwise != nullptr ? *otherwise : std::move(found));
  }
  return out;
}

// select, reject, selectattr, rejectattr
Value chosen(Budget& budget, const Value& value, const Arguments& given, bool by_attribute, bool wanted) {
  const std::size_t skipped = by_attribute ? 1 : 0;
  if (given.positional.size() < skipped) refuse("selectattr: the attribute's name is missing");
  Builtin test = nullptr;
  if (given.positional.size() > skipped) {
    test = find_test(text_of(given.positional[skipped], "select"));
    if (test == nullptr) refuse("there is no test {}", *given.positional[skipped].as<std::string>());
  }
  const Arguments rest = without_first(given, skipped + 1);
  List out;
  for (const Value& each : items_of(budget, value)) {
    const Value tested = by_attribute ? attribute_path(each, given.positional[0]) : each;
    const bool fits = test != nullptr ? is_true(test(budget, tested, rest)) : is_true(tested);
    if (fits == wanted) out.push_back(each);
  }
  return out;
}

Value indented(Budget& budget, const Value& value, const Arguments& given) {
  const Value* width = argument(given, 0, "width");
  const Value* first = argument(given, 1, "first");
  const Value* blank = argument(given, 2, "blank");
  const auto spaces =
      static_cast<std::size_t>(width == nullptr ? 4 : std::clamp<std::int64_t>(whole_of(*width, "indent"), 0, 1000));
  const std::string indent(spaces, ' ');
  std::string out;
  std::string_view rest = text_of(value, "indent");
  for (bool is_first = true;; is_first = false) {
    const auto end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const bool indents =
        is_first ? first != nullptr && is_true(*first) : !line.empty() || (blank != nullptr && is_true(*blank));
    budget.make(indent.size());
    out += (indents ? indent : "") + std::string(line);
    if (end == std::string_view::npos) break;
    out += '\n';
    rest.remove_prefix(end + 1);
  }
  return made(budget, std::move(out));
}

Value to_whole(Budget&, const Value& value, const Arguments& given) {
  const Value* other = argument(given, 0, "default");
  if (is_number(value)) {
    if (const auto* whole = value.as<std::int64_t>()) return *whole;
    const double number = std::trunc(to_number(value));
    if (std::abs(number) < 9e18) return static_cast<std::int64_t>(number);
  } else if (const auto* text = value.as<std::string>()) {
    const std::string digits = stripped(*text, nullptr, true, true);
    std::int64_t whole = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), whole);
    if (error == std::errc() && stop == digits.data() + digits.size() && !digits.empty()) return whole;
    if (const auto number = parse_number(digits); number && std::abs(*number) < 9e18)
      return static_cast<std::int64_t>(std::trunc(*number));
  }
  return other != nullptr ? *other : Value(std::int64_t{0});
}

Value to_real(Budget&, const Value& value, const Arguments& given) {
  if (is_number(value)) return to_number(value);
  if (const auto* text = value.as<std::string>())
    if (const auto number = parse_number(stripped(*text, nullptr, true, true))) return *number;
  const Value* other = argument(given, 0, "default");
  return other != nullptr ? *other : Value(0.0);
}

Value absolute(Budget&, const Value& value, const Arguments&) {
  if (const auto* whole = value.as<std::int64_t>()) {
    if (*whole == std::numeric_limits<std::int64_t>::min()) refuse("abs: the number is too large");
    return std::abs(*whole);
  }
  return std::abs(to_number(value));
}

Value itself(Budget&, const Value& value, const Arguments&) { return value; }

const std::map<std::string, Builtin, std::less<>>& filters() {
  static const std::map<std::string, Builtin, std::less<>> all{
      {"abs", absolute},
      {"capitalize",
       [](Budget& b, const Value& v, const Arguments&) { return made(b, with_capitals(to_text(b, v), false)); }},
      {"count", length},
      {"d", fallback},
      {"default", fallback},
      {"dictsort", sorted_pairs},
      {"first", [](Budget& b, const Value& v, const Arguments&) { return end_of(b, v, false); }},
      {"float", to_real},
      {"indent", indented},
      {"int", to_whole},
      {"items", pairs_of},
      {"join", join},
      {"last", [](Budget& b, const Value& v, const Arguments&) { return end_of(b, v, true); }},
      {"length", length},
      {"list", [](Budget& b, const Value& v, const Arguments&) { return Value(items_of(b, v)); }},
      {"lower", [](Budget& b, const Value& v, const Arguments&) { return made(b, mapped(to_text(b, v), lower_of)); }},
      {"map", map},
      {"reject", [](Budget& b, const Value& v, const Arguments& a) { return chosen(b, v, a, false, false); }},
      {"rejectattr", [](Budget& b, const Value& v, const Arguments& a) { return chosen(b, v, a, true, false); }},
      {"replace",
       [](Budget& b, const Value& v, const Arguments& a) {
         const Value *from = argument(a, 0, "old"), *to = argument(a, 1, "new"), *most = argument(a, 2, "count");
         if (from == nullptr || to == nullptr) refuse("replace expects two texts");
         return made(b, replaced(b, to_text(b, v), to_text(b, *from), to_text(b, *to),
                                 most == nullptr || most->is<None>() ? -1 : whole_of(*most, "replace")));
       }},
      {"reverse", reversed},
      {"safe", itself},
      {"select", [](Budget& b, const Value& v, const Arguments& a) { return chosen(b, v, a, false, true); }},
      {"selectattr", [](Budget& b, const Value& v, const Arguments& a) { return chosen(b, v, a, true, true); }},
      {"sort", sorted},
      {"string", [](Budget& b, const Value& v, const Arguments&) { return Value(to_text(b, v)); }},
      {"title",
       [](Budget& b, const Value& v, const Arguments&) { return made(b, with_capitals(to_text(b, v), true)); }},
      {"tojson", json},
      {"trim",
       [](Budget& b, const Value& v, const Arguments& a) {
         return made(b, stripped(to_text(b, v), argument(a, 0, "chars"), true, true));
       }},
      {"unique", unique},
      {"upper", [](Budget& b, const Value& v, const Arguments&) { return made(b, mapped(to_text(b, v), upper_of)); }},
  };
  return all;
}

const Value& other_of(const Arguments& given) {
  if (given.positional.empty()) refuse("a test has nothing to compare with");
  return given.positional.front();
}

template <class... Types>
Value is_any(Budget&, const Value& value, const Arguments&) {
  return Value((value.is<Types>() || ...));
}

Value is_callable(Budget&, const Value& value, const Arguments&) { return Value(value.is<Function>()); }

const std::map<std::string, Builtin, std::less<>>& tests() {
  static const Builtin equal = [](Budget& b, const Value& v, const Arguments& a) {
    return Value(are_equal(b, v, other_of(a)));
  };
  static const Builtin unequal = [](Budget& b, const Value& v, const Arguments& a) {
    return Value(!are_equal(b, v, other_of(a)));
  };
  static const Builtin less = [](Budget&, const Value& v, const Arguments& a) {
    return Value(is_less(v, other_of(a)));
  };
  static const Builtin greater = [](Budget&, const Value& v, const Arguments& a) {
    return Value(is_less(other_of(a), v));
  };
  static const Builtin not_less = [](Budget&, const Value& v, const Arguments& a) {
    return Value(!is_less(v, other_of(a)));
  };
  static const Builtin not_greater = [](Budget&, const Value& v, const Arguments& a) {
    return Value(!is_less(other_of(a), v));
  };
  static const std::map<std::string, Builtin, std::less<>> all{
      {"!=", unequal},
      {"<", less},
      {"<=", not_greater},
      {"==", equal},
      {">", greater},
      {">=", not_less},
      {"boolean", is_any<bool>},
      {"callable", is_callable},
      {"defined", [](Budget&, const Value& v, const Arguments&) { return Value(!v.is<Undefined>()); }},
      {"divisibleby",
       [](Budget&, const Value& v, const Arguments& a) {
         const std::int64_t by = whole_of(other_of(a), "divisibleby");
         if (by == 0) refuse("division by zero");
         return Value(by == -1 || whole_of(v, "divisibleby") % by == 0);
       }},
      {"eq", equal},
      {"equalto", equal},
      {"even", [](Budget&, const Value& v, const Arguments&) { return Value(whole_of(v, "even") % 2 == 0); }},
      {"false", [](Budget&, const Value& v, const Arguments&) { return Value(v.is<bool>() && !is_true(v)); }},
      {"float", is_any<double>},
      {"ge", not_less},
      {"greaterthan", greater},
      {"gt", greater},
      {"in", [](Budget& b, const Value& v, const Arguments& a) { return Value(contains(b, other_of(a), v)); }},
      {"integer", is_any<std::int64_t>},
      {"iterable", is_any<std::string, List, Dict, Undefined>},
      {"le", not_greater},
      {"lessthan", less},
      {"lower",
       [](Budget&, const Value& v, const Arguments&) {
         const std::string& text = text_of(v, "lower");
         return Value(mapped(text, lower_of) == text && mapped(text, upper_of) != text);
       }},
      {"lt", less},
      {"mapping", is_any<Dict>},
      {"ne", unequal},
      {"none", is_any<None>},
      {"number", is_any<bool, std::int64_t, double>},
      {"odd", [](Budget&, const Value& v, const Arguments&) { return Value(whole_of(v, "odd") % 2 != 0); }},
      {"sequence", is_any<std::string, List, Dict, Undefined>},
      {"string", is_any<std::string>},
      {"true", [](Budget&, const Value& v, const Arguments&) { return Value(v.is<bool>() && is_true(v)); }},
      {"undefined", is_any<Undefined>},
      {"upper",
       [](Budget&, const Value& v, const Arguments&) {
         const std::string& text = text_of(v, "upper");
         return Value(mapped(text, upper_of) == text && mapped(text, lower_of) != text);
       }},
  };
  return all;
}

using Method = Value (*)(Budget& budget, const Value& self, const Arguments& given);

bool has_end(const Value& self, const Arguments& given, bool at_start) {
  const std::string& text = *self.as<std::string>();
  const auto fits = [&](const Value& end) {
    const std::string& wanted = text_of(end, "startswith");
    return at_start ? text.starts_with(wanted) : text.ends_with(wanted);
  };
  const Value& wanted = other_of(given);
  const auto* any = wanted.as<List>();
  return any != nullptr ? std::any_of(any->begin(), any->end(), fits) : fits(wanted);
}

Value stripped_method(Budget& budget, const Value& self, const Arguments& given, bool left, bool right) {
  return made(budget, stripped(*self.as<std::string>(), argument(given, 0, "chars"), left, right));
}
Value split_method(Budget& budget, const Value& self, const Arguments& given, bool from_right) {
  const Value* most = argument(given, 1, "maxsplit");
  return made(budget, split(*self.as<std::string>(), argument(given, 0, "sep"),
                            most == nullptr ? -1 : whole_of(*most, "split"), from_right));
}
// Where a text stands in another, in characters; -1: nowhere.
Value find_method(const Value& self, const Arguments& given, bool last) {
  const std::string& text = *self.as<std::string>();
  const std::size_t at =
      last ? text.rfind(text_of(other_of(given), "find")) : text.find(text_of(other_of(given), "find"));
  return at == std::string::npos ? Value(std::int64_t{-1})
                                 : Value(static_cast<std::int64_t>(code_points(std::string_view(text).substr(0, at))));
}
Value without_end(Budget& budget, const Value& self, const Arguments& given, bool at_start) {
  const std::string& text = *self.as<std::string>();
  if (other_of(given).as<List>() != nullptr || !has_end(self, given, at_start)) return text;
  const std::size_t size = text_of(other_of(given), "removeprefix").size();
  return made(budget, at_start ? text.substr(size) : text.substr(0, text.size() - size));
}
template <class Is>
bool all_characters(const Value& self, const Is& is) {
  std::string_view text = *self.as<std::string>();
  std::size_t at = 0;
  bool any = false;
  while (at < text.size()) {
    const auto point = next_code_point(text, at);
    if (!point || !is(static_cast<UChar32>(*point))) return false;
    any = true;
  }
  return any;
}

const std::map<std::string, Method, std::less<>>& text_methods() {
  static const std::map<std::string, Method, std::less<>> all{
      {"capitalize",
       [](Budget& b, const Value& s, const Arguments&) { return made(b, with_capitals(*s.as<std::string>(), false)); }},
      {"count",
       [](Budget& b, const Value& s, const Arguments& a) {
         const std::string &text = *s.as<std::string>(), &part = text_of(other_of(a), "count");
         if (part.empty()) return Value(static_cast<std::int64_t>(code_points(text)) + 1);
         std::int64_t count = 0;
         for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
           ++count;
         b.step(static_cast<std::size_t>(count));
         return Value(count);
       }},
      {"endswith", [](Budget&, const Value& s, const Arguments& a) { return Value(has_end(s, a, false)); }},
      {"find", [](Budget&, const Value& s, const Arguments& a) { return find_method(s, a, false); }},
      {"isalpha",
       [](Budget&, const Value& s, const Arguments&) {
         return Value(all_characters(s, [](UChar32 c) { return u_isalpha(c) != 0; }));
       }},
      {"isdigit",
       [](Budget&, const Value& s, const Arguments&) {
         return Value(all_characters(s, [](UChar32 c) { return u_isdigit(c) != 0; }));
       }},
      {"isspace",
       [](Budget&, const Value& s, const Arguments&) {
         return Value(all_characters(s, [](UChar32 c) { return u_isUWhiteSpace(c) != 0; }));
       }},
      {"join", [](Budget& b, const Value& s, const Arguments& a) { return join(b, other_of(a), {.positional = {s}}); }},
      {"lower",
       [](Budget& b, const Value& s, const Arguments&) { return made(b, mapped(*s.as<std::string>(), lower_of)); }},
      {"lstrip", [](Budget& b, const Value& s, const Arguments& a) { return stripped_method(b, s, a, true, false); }},
      {"removeprefix", [](Budget& b, const Value& s, const Arguments& a) { return without_end(b, s, a, true); }},
      {"removesuffix", [](Budget& b, const Value& s, const Arguments& a) { return without_end(b, s, a, false); }},
      {"replace",
       [](Budget& b, const Value& s, const Arguments& a) {
         if (a.positional.size() < 2) refuse("replace expects two texts");
         const std::int64_t most = a.positional.size() > 2 ? whole_of(a.positional[2], "replace") : -1;
         return made(b, replaced(b, *s.as<std::string>(), text_of(a.positional[0], "replace"),
                                 text_of(a.positional[1], "replace"), most));
       }},
      {"rfind", [](Budget&, const Value& s, const Arguments& a) { return find_method(s, a, true); }},
      {"rsplit", [](Budget& b, const Value& s, const Arguments& a) { return split_method(b, s, a, true); }},
      {"rstrip", [](Budget& b, const Value& s, const Arguments& a) { return stripped_method(b, s, a, false, true); }},
      {"split", [](Budget& b, const Value& s, const Arguments& a) { return split_method(b, s, a, false); }},
      {"splitlines",
       [](Budget& b, const Value& s, const Arguments&) {
         std::string text = *s.as<std::string>();
         if (text.empty()) return Value(List{});
         if (text.ends_with('\n')) text.pop_back();
         const Value line_end("\n");
         return made(b, split(text, &line_end, -1, false));
       }},
      {"startswith", [](Budget&, const Value& s, const Arguments& a) { return Value(has_end(s, a, true)); }},
      {"strip", [](Budget& b, const Value& s, const Arguments& a) { return stripped_method(b, s, a, true, true); }},
      {"title",
       [](Budget& b, const Value& s, const Arguments&) { return made(b, with_capitals(*s.as<std::string>(), true)); }},
      {"upper",
       [](Budget& b, const Value& s, const Arguments&) { return made(b, mapped(*s.as<std::string>(), upper_of)); }},
  };
  return all;
}

const std::map<std::string, Method, std::less<>>& dict_methods() {
  static const std::map<std::string, Method, std::less<>> all{
      {"get",
       [](Budget&, const Value& s, const Arguments& a) {
         const auto* key = other_of(a).as<std::string>();
         const Value* found = key != nullptr ? s.as<Dict>()->find(*key) : nullptr;
         if (found != nullptr) return *found;
         const Value* otherwise = argument(a, 1, "default");
         return otherwise != nullptr ? *otherwise : Value(None{});
       }},
      {"items", [](Budget& b, const Value& s, const Arguments& a) { return pairs_of(b, s, a); }},
      {"keys", [](Budget& b, const Value& s, const Arguments&) { return Value(items_of(b, s)); }},
      {"values",
       [](Budget& b, const Value& s, const Arguments&) {
         List values;
         for (const auto& [key, each] : *s.as<Dict>()) values.push_back(each);
         return made(b, std::move(values));
       }},
  };
  return all;
}

Value bound(Method method, const Value& self) {
  return Function([method, self](Budget& budget, const Arguments& given) { return method(budget, self, given); });
}

[[noreturn]] void refuse_undefined(const Value& value, const std::string& wanted) {
  refuse("{} has no {}", kind_of(value), wanted);
}

// A place in a sequence of that length; absent outside of it.
std::optional<std::size_t> place_of(std::int64_t index, std::size_t length) {
  if (index < 0) index += static_cast<std::int64_t>(length);
  if (index < 0 || index >= static_cast<std::int64_t>(length)) return std::nullopt;
  return static_cast<std::size_t>(index);
}

// By reference: the value is there once it has been found out whether it overflows.
Value whole_result(bool overflows, const std::int64_t& value) {
  if (overflows) refuse("a number is too large");
  return value;
}

// As Python rounds: down.
std::int64_t floor_divided(std::int64_t a, std::int64_t b) {
  if (b == 0) refuse("division by zero");
  if (b == -1) {
    std::int64_t out = 0;
    if (__builtin_sub_overflow(std::int64_t{0}, a, &out)) refuse("a number is too large");
    return out;
  }
  return a / b - (a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0);
}

Value power(const Value& a, const Value& b) {
  const auto *x = a.as<std::int64_t>(), *y = b.as<std::int64_t>();
  if (x == nullptr || y == nullptr || *y < 0) return std::pow(to_number(a), to_number(b));
  if (*x == 0 || *x == 1) return *y == 0 ? std::int64_t{1} : *x;
  if (*x == -1) return *y % 2 == 0 ? std::int64_t{1} : std::int64_t{-1};
  std::int64_t out = 1;
  bool overflows = *y > 63;
  for (std::int64_t i = 0; i < *y && !overflows; ++i) overflows = __builtin_mul_overflow(out, *x, &out);
  return whole_result(overflows, out);
}

Value added(Budget& budget, const Value& a, const Value& b) {
  if (const auto* x = a.as<std::string>(), *y = b.as<std::string>(); x != nullptr && y != nullptr)
    return made(budget, *x + *y);
  if (const auto* x = a.as<List>(), *y = b.as<List>(); x != nullptr && y != nullptr) {
    List both = *x;
    both.insert(both.end(), y->begin(), y->end());
    return made(budget, std::move(both));
  }
  if (!is_number(a) || !is_number(b)) refuse("{} and {} cannot be added", kind_of(a), kind_of(b));
  if (a.is<double>() || b.is<double>()) return to_number(a) + to_number(b);
  std::int64_t out = 0;
  return whole_result(__builtin_add_overflow(whole_of(a, "+"), whole_of(b, "+"), &out), out);
}

Value repeated(Budget& budget, const Value& whole, std::int64_t times) {
  times = std::max<std::int64_t>(times, 0);
  if (const auto* text = whole.as<std::string>()) {
    if (!text->empty() && times > (1 << 24) / std::ssize(*text)) refuse("a text is repeated too often");
    std::string out;
    for (std::int64_t i = 0; i < times && !text->empty(); ++i) out += *text;
    return made(budget, std::move(out));
  }
  const List& list = *whole.as<List>();
  if (!list.empty() && times > (1 << 20) / std::ssize(list)) refuse("a list is repeated too often");
  List out;
  for (std::int64_t i = 0; i < times && !list.empty(); ++i) out.insert(out.end(), list.begin(), list.end());
  return made(budget, std::move(out));
}

}  // namespace

Builtin find_filter(const std::string& name) {
  const auto found = filters().find(name);
  return found == filters().end() ? nullptr : found->second;
}

Builtin find_test(const std::string& name) {
  const auto found = tests().find(name);
  return found == tests().end() ? nullptr : found->second;
}

Value attribute_of(const Value& value, const std::string& name) {
  if (value.is<Undefined>()) refuse_undefined(value, name);
  if (value.is<std::string>())
    if (const auto found = text_methods().find(name); found != text_methods().end()) return bound(found->second, value);
  if (const auto* space = value.as<Namespace>())
    if (const Value* found = space->values.find(name)) return *found;
  if (const auto* dict = value.as<Dict>()) {
    if (const auto found = dict_methods().find(name); found != dict_methods().end()) return bound(found->second, value);
    if (const Value* found = dict->find(name)) return *found;
  }
  return Undefined{name};
}

Value item_of(const Value& value, const Value& key) {
  const auto* name = key.as<std::string>();
  if (value.is<Undefined>()) refuse_undefined(value, name != nullptr ? *name : "items");
  if (const auto* dict = value.as<Dict>()) {
    const Value* found = name != nullptr ? dict->find(*name) : nullptr;
    if (found != nullptr) return *found;
    return name != nullptr ? attribute_of(value, *name) : Value();
  }
  if (name != nullptr) return attribute_of(value, *name);
  if (const auto* list = value.as<List>(); list != nullptr && is_number(key)) {
    const auto place = place_of(whole_of(key, "an index"), list->size());
    return place ? (*list)[*place] : Value(Undefined{"an item beyond the end"});
  }
  if (const auto* text = value.as<std::string>(); text != nullptr && is_number(key)) {
    const auto all = characters(*text);
    const auto place = place_of(whole_of(key, "an index"), all.size());
    return place ? Value(all[*place]) : Value(Undefined{"a character beyond the end"});
  }
  return Undefined{};
}

Value slice_of(Budget& budget, const Value& value, const Value& begin, const Value& end, const Value& step) {
  if (!value.is<List>() && !value.is<std::string>()) refuse("{} has no slices", kind_of(value));
  const List all = items_of(budget, value);
  const auto length = std::ssize(all);
  const auto given = [](const Value& bound) { return !bound.is<Undefined>() && !bound.is<None>(); };
  const std::int64_t by = given(step) ? whole_of(step, "a slice") : 1;
  if (by == 0) refuse("a slice's step is zero");
  const std::int64_t lowest = by > 0 ? 0 : -1, highest = by > 0 ? length : length - 1;
  const auto place = [&](const Value& bound, std::int64_t otherwise) {
    if (!given(bound)) return otherwise;
    std::int64_t at = whole_of(bound, "a slice");
    if (at < 0) at = at < -length ? lowest : std::max(at + length, lowest);
    return std::clamp(at, lowest, highest);
  };
  const std::int64_t from = place(begin, by > 0 ? 0 : length - 1), to = place(end, by > 0 ? length : -1);
  List out;
  for (std::int64_t at = from; by > 0 ? at < to : at > to;) {
    out.push_back(all[static_cast<std::size_t>(at)]);
    if (__builtin_add_overflow(at, by, &at)) break;
  }
  if (!value.is<std::string>()) return out;
  std::string text;
  for (const Value& each : out) text += *each.as<std::string>();
  return text;
}

Dict global_functions() {
  Dict all;
  all.set("range", Function([](Budget& budget, const Arguments& given) {
            const auto& p = given.positional;
            if (p.empty() || p.size() > 3) refuse("range expects one to three whole numbers");
            const std::int64_t begin = p.size() > 1 ? whole_of(p[0], "range") : 0;
            const std::int64_t end = whole_of(p[p.size() > 1 ? 1 : 0], "range");
            const std::int64_t step = p.size() > 2 ? whole_of(p[2], "range") : 1;
            if (step == 0) refuse("range: the step is zero");
            List out;
            for (std::int64_t at = begin; step > 0 ? at < end : at > end;) {
              if (std::ssize(out) == largest_range) refuse("range: more than {} numbers", largest_range);
              out.emplace_back(at);
              if (__builtin_add_overflow(at, step, &at)) break;
            }
            return made(budget, std::move(out));
          }));
  all.set("namespace", Function([](Budget&, const Arguments& given) {
            auto space = std::make_shared<Namespace>();
            for (const Value& each : given.positional)
              if (const auto* dict = each.as<Dict>())
                for (const auto& [key, value] : *dict) space->values.set(key, value);
            for (const auto& [key, value] : given.named) {
              if (value.is<Namespace>()) refuse("a namespace stands in another");
              space->values.set(key, value);
            }
            return Value(std::move(space));
          }));
  all.set("dict", Function([](Budget& budget, const Arguments& given) {
            Dict out;
            for (const Value& each : given.positional)
              if (const auto* dict = each.as<Dict>())
                for (const auto& [key, value] : *dict) out.set(key, value);
            for (const auto& [key, value] : given.named) out.set(key, value);
            budget.make(out.size() * sizeof(Value));
            return Value(std::move(out));
          }));
  all.set("raise_exception", Function([](Budget& budget, const Arguments& given) -> Value {
            refuse("{}", given.positional.empty() ? "it refuses these messages" : to_text(budget, given.positional[0]));
          }));
  return all;
}

Value calculate(Budget& budget, const std::string& sign, const Value& a, const Value& b) {
  if (sign == "+") return added(budget, a, b);
  if (sign == "~") return to_text(budget, a) + to_text(budget, b);
  if (sign == "*" && (a.is<std::string>() || a.is<List>())) return repeated(budget, a, whole_of(b, "*"));
  if (sign == "*" && (b.is<std::string>() || b.is<List>())) return repeated(budget, b, whole_of(a, "*"));
  if (sign == "%" && a.is<std::string>()) refuse("a text is formatted by %, which is not supported");
  if (!is_number(a) || !is_number(b)) refuse("{} {} {} cannot be calculated", kind_of(a), sign, kind_of(b));
  if (sign == "**") return power(a, b);
  if (sign == "/") {
    if (to_number(b) == 0) refuse("division by zero");
    return to_number(a) / to_number(b);
  }
  if (a.is<double>() || b.is<double>()) {
    const double x = to_number(a), y = to_number(b);
    if (sign == "-") return x - y;
    if (sign == "*") return x * y;
    if (y == 0) refuse("division by zero");
    return sign == "//" ? std::floor(x / y) : x - y * std::floor(x / y);
  }
  const std::int64_t x = whole_of(a, sign), y = whole_of(b, sign);
  std::int64_t out = 0;
  if (sign == "-") return whole_result(__builtin_sub_overflow(x, y, &out), out);
  if (sign == "*") return whole_result(__builtin_mul_overflow(x, y, &out), out);
  if (sign == "//") return floor_divided(x, y);
  if (y == 0) refuse("division by zero");
  if (y == -1) return std::int64_t{0};
  const std::int64_t rest = x % y;
  return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

bool contains(Budget& budget, const Value& whole, const Value& part) {
  if (const auto* text = whole.as<std::string>()) return text->find(text_of(part, "in")) != std::string::npos;
  if (const auto* dict = whole.as<Dict>()) {
    const auto* key = part.as<std::string>();
    budget.step(dict->size());
    return key != nullptr && dict->find(*key) != nullptr;
  }
  if (const auto* list = whole.as<List>())
    return std::any_of(list->begin(), list->end(), [&](const Value& each) { return are_equal(budget, each, part); });
  if (whole.is<Undefined>()) return false;
  refuse("{} contains nothing", kind_of(whole));
}

}  // namespace batchscope::jinja
