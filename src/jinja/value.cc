// Values as Python has them (jinja/value.h).
#include "jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/error.h"
#include "base/utf8.h"

namespace batchscope::jinja {
namespace {

// The shortest digits that give the same number back, as repr() writes them.
std::string python_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string python_quoted(std::string_view text) {
  const bool single = text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const char quote = single ? '\'' : '"';
  std::string out(1, quote);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\' || c == quote)
      out += std::string("\\") + c;
    else if (c == '\n' || c == '\r' || c == '\t')
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    else if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out + quote;
}

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        out += byte < 0x20 ? fmt::format("\\u{:04x}", byte) : std::string(1, c);
    }
  }
  return out + '"';
}

int deepest_of(const List& values) {
  int depth = 0;
  for (const Value& value : values) depth = std::max(depth, value.depth());
  return depth;
}

void check_depth(int depth, int most) {
  if (depth > most) throw InputError("chat template: its values nest deeper than {} levels", most);
}

struct JsonWriter {
  Budget& budget;
  int indent;
  std::string out{};

  void line(int level) {
    if (indent >= 0) out += "\n" + std::string(static_cast<std::size_t>(indent * level), ' ');
  }
  template <class Each>
  void write_all(std::size_t count, char open, char close, int level, const Each& each) {
    out += open;
    for (std::size_t i = 0; i < count; ++i) {
      if (i > 0) out += indent >= 0 ? "," : ", ";
      line(level + 1);
      each(i);
    }
    if (count > 0) line(level);
    out += close;
  }
  void write(const Value& value, int level) {
    budget.step();
    const std::size_t before = out.size();
    if (const auto* list = value.as<List>()) {
      write_all(list->size(), '[', ']', level, [&](std::size_t i) { write((*list)[i], level + 1); });
      return;
    }
    if (const auto* dict = value.as<Dict>()) {
      write_all(dict->size(), '{', '}', level, [&](std::size_t i) {
        const auto& [key, each] = *(dict->begin() + static_cast<std::ptrdiff_t>(i));
        out += json_quoted(key) + ": ";
        write(each, level + 1);
      });
      return;
    }
    if (const auto* text = value.as<std::string>())
      out += json_quoted(*text);
    else if (value.is<None>())
      out += "null";
    else if (const auto* boolean = value.as<bool>())
      out += *boolean ? "true" : "false";
    else if (const auto* whole = value.as<std::int64_t>())
      out += std::to_string(*whole);
    else if (const auto* number = value.as<double>())
      out += std::isnan(*number)   ? "NaN"
             : std::isinf(*number) ? (*number > 0 ? "Infinity" : "-Infinity")
                                   : python_number(*number);
    else
      throw InputError("chat template: tojson: {} is no JSON", kind_of(value));
    budget.make(out.size() - before);
  }
};

}  // namespace

void Budget::step(std::size_t count) {
  steps_ -= static_cast<std::int64_t>(count);
  if (steps_ < 0) throw InputError("chat template: it takes too many steps with these messages");
}

void Budget::make(std::size_t bytes) {
  bytes_ -= static_cast<std::int64_t>(bytes);
  if (bytes_ < 0) throw InputError("chat template: it makes too much text of these messages");
}

const Value* Dict::find(std::string_view key) const {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) { return entry.first == key; });
  return found == entries_.end() ? nullptr : &found->second;
}

void Dict::set(std::string key, Value value) {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) { return entry.first == key; });
  if (found == entries_.end())
    entries_.emplace_back(std::move(key), std::move(value));
  else
    found->second = std::move(value);
}

Value::Value(List values) : depth_(deepest_of(values) + 1) {
  check_depth(depth_, deepest);
  held_ = std::make_shared<const List>(std::move(values));
}

Value::Value(Dict values) {
  for (const auto& [key, value] : values) depth_ = std::max(depth_, value.depth());
  check_depth(++depth_, deepest);
  held_ = std::make_shared<const Dict>(std::move(values));
}

bool is_true(const Value& value) {
  if (const auto* boolean = value.as<bool>()) return *boolean;
  if (const auto* whole = value.as<std::int64_t>()) return *whole != 0;
  if (const auto* number = value.as<double>()) return *number != 0;
  if (const auto* text = value.as<std::string>()) return !text->empty();
  if (const auto* list = value.as<List>()) return !list->empty();
  if (const auto* dict = value.as<Dict>()) return dict->size() > 0;
  return value.is<Function>() || value.is<Namespace>();
}

bool is_number(const Value& value) { return value.is<bool>() || value.is<std::int64_t>() || value.is<double>(); }

double to_number(const Value& value) {
  if (const auto* boolean = value.as<bool>()) return *boolean ? 1 : 0;
  if (const auto* whole = value.as<std::int64_t>()) return static_cast<double>(*whole);
  const auto* number = value.as<double>();
  if (number == nullptr) throw InputError("chat template: {} is used as a number", kind_of(value));
  return *number;
}

std::string kind_of(const Value& value) {
  if (const auto* undefined = value.as<Undefined>())
    return undefined->name.empty() ? "an undefined value" : fmt::format("'{}', which is undefined,", undefined->name);
  if (value.is<None>()) return "none";
  if (value.is<bool>()) return "a boolean";
  if (value.is<std::int64_t>()) return "a whole number";
  if (value.is<double>()) return "a number";
  if (value.is<std::string>()) return "a text";
  if (value.is<List>()) return "a list";
  if (value.is<Dict>()) return "a mapping";
  return value.is<Function>() ? "a function" : "a namespace";
}

std::string to_text(Budget& budget, const Value& value) {
  if (const auto* text = value.as<std::string>()) {
    budget.make(text->size());
    return *text;
  }
  return value.is<Undefined>() ? "" : to_repr(budget, value);
}

std::string to_repr(Budget& budget, const Value& value) {
  budget.step();
  std::string out;
  if (const auto* text = value.as<std::string>()) {
    out = python_quoted(*text);
  } else if (const auto* boolean = value.as<bool>()) {
    out = *boolean ? "True" : "False";
  } else if (const auto* whole = value.as<std::int64_t>()) {
    out = std::to_string(*whole);
  } else if (const auto* number = value.as<double>()) {
    out = python_number(*number);
  } else if (const auto* list = value.as<List>()) {
    for (const Value& each : *list) out += (out.empty() ? "" : ", ") + to_repr(budget, each);
    return "[" + out + "]";
  } else if (const auto* dict = value.as<Dict>()) {
    for (const auto& [key, each] : *dict)
      out += (out.empty() ? "" : ", ") + python_quoted(key) + ": " + to_repr(budget, each);
    return "{" + out + "}";
  } else {
    out = value.is<None>()        ? "None"
          : value.is<Undefined>() ? "Undefined"
          : value.is<Function>()  ? "<function>"
                                  : "<Namespace>";
  }
  budget.make(out.size());
  return out;
}

std::string to_json(Budget& budget, const Value& value, int indent) {
  JsonWriter writer{budget, indent};
  writer.write(value, 0);
  return std::move(writer.out);
}

bool are_equal(Budget& budget, const Value& a, const Value& b) {
  budget.step();
  if (is_number(a) && is_number(b)) {
    const auto *x = a.as<std::int64_t>(), *y = b.as<std::int64_t>();
    return x != nullptr && y != nullptr ? *x == *y : to_number(a) == to_number(b);
  }
  if (const auto* x = a.as<std::string>(), *y = b.as<std::string>(); x != nullptr && y != nullptr) return *x == *y;
  if (const auto* x = a.as<List>(), *y = b.as<List>(); x != nullptr && y != nullptr) {
    if (x->size() != y->size()) return false;
    for (std::size_t i = 0; i < x->size(); ++i)
      if (!are_equal(budget, (*x)[i], (*y)[i])) return false;
    return true;
  }
  if (const auto* x = a.as<Dict>(), *y = b.as<Dict>(); x != nullptr && y != nullptr) {
    if (x->size() != y->size()) return false;
    for (const auto& [key, value] : *x) {
      budget.step(y->size());
      const Value* other = y->find(key);
      if (other == nullptr || !are_equal(budget, value, *other)) return false;
    }
    return true;
  }
  if (a.is<Namespace>() || b.is<Namespace>()) return a.as<Namespace>() == b.as<Namespace>();
  return (a.is<None>() && b.is<None>()) || (a.is<Undefined>() && b.is<Undefined>());
}

bool is_less(const Value& a, const Value& b) {
  if (is_number(a) && is_number(b)) {
    const auto *x = a.as<std::int64_t>(), *y = b.as<std::int64_t>();
    return x != nullptr && y != nullptr ? *x < *y : to_number(a) < to_number(b);
  }
  if (const auto* x = a.as<std::string>(), *y = b.as<std::string>(); x != nullptr && y != nullptr) return *x < *y;
  throw InputError("chat template: {} and {} have no order", kind_of(a), kind_of(b));
}

List items_of(Budget& budget, const Value& value) {
  List items;
  if (const auto* list = value.as<List>()) {
    items = *list;
  } else if (const auto* dict = value.as<Dict>()) {
    for (const auto& [key, each] : *dict) items.emplace_back(key);
  } else if (const auto* text = value.as<std::string>()) {
    for (std::string& each : characters(*text)) items.emplace_back(std::move(each));
  } else if (!value.is<Undefined>()) {
    throw InputError("chat template: {} cannot be gone through", kind_of(value));
  }
  budget.step(items.size());
  budget.make(items.size() * sizeof(Value));
  return items;
}

std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> all;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    next_code_point(text, at);
    all.emplace_back(text.substr(begin, at - begin));
  }
  return all;
}

}  // namespace batchscope::jinja
