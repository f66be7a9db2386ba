// Values of templates: Python's, as far as chat templates use them. Texts are UTF-8; their lengths and places count
// code points. How much one rendering may do and make is bounded (Budget).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace batchscope::jinja {

// InputError once there is none left.
class Budget {
 public:
  Budget(std::int64_t steps, std::int64_t bytes) : steps_(steps), bytes_(bytes) {}
  void step(std::size_t count = 1);  // of work
  void make(std::size_t bytes);      // of texts and lists that are made, the output among them

 private:
  std::int64_t steps_, bytes_;
};

class Value;
using List = std::vector<Value>;

// In the order in which keys were first set.
class Dict {
 public:
  using Entries = std::vector<std::pair<std::string, Value>>;
  const Value* find(std::string_view key) const;  // null: absent
  void set(std::string key, Value value);
  std::size_t size() const;
  Entries::const_iterator begin() const;
  Entries::const_iterator end() const;

 private:
  Entries entries_;
};

struct Arguments;
using Function = std::function<Value(Budget& budget, const Arguments& arguments)>;

struct Undefined {
  std::string name{};  // what was not there, for errors
};
struct None {};
struct Namespace;

class Value {
 public:
  Value() : held_(Undefined{}) {}
  Value(Undefined value) : held_(std::move(value)) {}
  Value(None value) : held_(value) {}
  Value(bool value) : held_(value) {}
  Value(std::int64_t value) : held_(value) {}
  Value(double value) : held_(value) {}
  Value(std::string value) : held_(std::move(value)) {}
  Value(const char* value) : held_(std::string(value)) {}
  // InputError where they nest deeper than values may.
  Value(List values);
  Value(Dict values);
  Value(Function function) : held_(std::make_shared<const Function>(std::move(function))) {}
  Value(std::shared_ptr<Namespace> space) : held_(std::move(space)), depth_(deepest) {}

  template <class T>
  const T* as() const {
    if constexpr (std::is_same_v<T, List> || std::is_same_v<T, Dict> || std::is_same_v<T, Function>) {
      const auto* held = std::get_if<std::shared_ptr<const T>>(&held_);
      return held != nullptr ? held->get() : nullptr;
    } else if constexpr (std::is_same_v<T, Namespace>) {
      const auto* held = std::get_if<std::shared_ptr<Namespace>>(&held_);
      return held != nullptr ? held->get() : nullptr;
    } else {
      return std::get_if<T>(&held_);
    }
  }
  template <class T>
  bool is() const {
    return as<T>() != nullptr;
  }
  Namespace* space() const { return const_cast<Namespace*>(as<Namespace>()); }
  int depth() const { return depth_; }

 private:
  static constexpr int deepest = 64;

  std::variant<Undefined, None, bool, std::int64_t, double, std::string, std::shared_ptr<const List>,
               std::shared_ptr<const Dict>, std::shared_ptr<const Function>, std::shared_ptr<Namespace>>
      held_;
  int depth_ = 0;
};

struct Arguments {
  List positional{};
  Dict named{};
};
// namespace(): the only value that changes; it can stand in no other.
struct Namespace {
  Dict values{};
};

// Here, since clang 14 needs to know what a Value is.
inline std::size_t Dict::size() const { return entries_.size(); }
inline Dict::Entries::const_iterator Dict::begin() const { return entries_.begin(); }
inline Dict::Entries::const_iterator Dict::end() const { return entries_.end(); }

bool is_true(const Value& value);
bool is_number(const Value& value);       // booleans are
double to_number(const Value& value);     // of a number
std::string kind_of(const Value& value);  // "a text", for errors

// Python's str() and repr(); an undefined value is "".
std::string to_text(Budget& budget, const Value& value);
std::string to_repr(Budget& budget, const Value& value);
// Python's json.dumps(value, ensure_ascii=False, indent=indent); indent < 0: on one line.
std::string to_json(Budget& budget, const Value& value, int indent);

bool are_equal(Budget& budget, const Value& a, const Value& b);
// Whether a < b; InputError for values without an order.
bool is_less(const Value& a, const Value& b);

// What a for loop goes through: a list's values, a text's characters, a dict's keys. InputError for anything else.
List items_of(Budget& budget, const Value& value);
std::vector<std::string> characters(std::string_view text);

}  // namespace batchscope::jinja
