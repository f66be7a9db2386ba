// Templates become functions when they are read, by recursive descent; rendering calls these (jinja/template.h).
#include "jinja/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "jinja/builtins.h"
#include "jinja/lexer.h"

namespace batchscope::jinja {
namespace {

constexpr int deepest_source = 64;  // nested expressions and blocks
constexpr int most_links = 200;     // of operators, filters and so on, one behind the other in a tag
constexpr int deepest_calls = 16;   // of macros; with the two above, what rendering takes of the stack

// Names and what they stand for; inner ones hide outer ones.
struct Scope {
  std::map<std::string, Value, std::less<>> values{};
  const Scope* outer = nullptr;

  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->outer)
      if (const auto found = scope->values.find(name); found != scope->values.end()) return &found->second;
    return nullptr;
  }
};

// One rendering, where it is.
struct Frame {
  Budget& budget;
  Scope& top;  // what macros see
  Scope& scope;
  int& calls;  // of macros that are underway
};

enum class Flow { next, leave_loop, next_round };

using Expression = std::function<Value(Frame&)>;
using Statement = std::function<Flow(Frame&, std::string& out)>;
using Block = std::vector<Statement>;

Flow run(const Block& block, Frame& frame, std::string& out) {
  for (const Statement& statement : block) {
    frame.budget.step();
    if (const Flow flow = statement(frame, out); flow != Flow::next) return flow;
  }
  return Flow::next;
}

// What a value is assigned to: a name, an attribute of a namespace, or several of them.
struct Target {
  std::vector<std::string> names{};
  std::string attribute{};  // of the only name
  bool is_several = false;

  void assign(Frame& frame, Value value) const {
    if (!attribute.empty()) {
      const Value* found = frame.scope.find(names.front());
      Namespace* space = found != nullptr ? found->space() : nullptr;
      if (space == nullptr)
        throw InputError("chat template: {} is no namespace, so it has no attributes to set", names.front());
      if (value.is<Namespace>()) throw InputError("chat template: a namespace stands in another");
      space->values.set(attribute, std::move(value));
      return;
    }
    if (!is_several) {
      frame.scope.values.insert_or_assign(names.front(), std::move(value));
      return;
    }
    const List items = items_of(frame.budget, value);
    if (items.size() != names.size())
      throw InputError("chat template: {} values are unpacked to {} names", items.size(), names.size());
    for (std::size_t i = 0; i < names.size(); ++i) frame.scope.values.insert_or_assign(names[i], items[i]);
  }
};

struct GivenArgument {
  std::string name{};  // "": by place
  Expression value{};
};

Arguments evaluated(const std::vector<GivenArgument>& given, Frame& frame) {
  Arguments arguments;
  for (const GivenArgument& each : given) {
    if (each.name.empty())
      arguments.positional.push_back(each.value(frame));
    else
      arguments.named.set(each.name, each.value(frame));
  }
  return arguments;
}

// What `loop` is in a round of a for loop.
Dict loop_facts(const List& items, std::size_t round) {
  const auto whole = [](std::size_t value) { return Value(static_cast<std::int64_t>(value)); };
  Dict loop;
  loop.set("index", whole(round + 1));
  loop.set("index0", whole(round));
  loop.set("revindex", whole(items.size() - round));
  loop.set("revindex0", whole(items.size() - round - 1));
  loop.set("first", Value(round == 0));
  loop.set("last", Value(round + 1 == items.size()));
  loop.set("length", whole(items.size()));
  loop.set("depth", whole(1));
  if (round > 0) loop.set("previtem", items[round - 1]);
  if (round + 1 < items.size()) loop.set("nextitem", items[round + 1]);
  loop.set("cycle", Function([round](Budget&, const Arguments& given) {
             if (given.positional.empty()) throw InputError("chat template: loop.cycle expects values");
             return given.positional[round % given.positional.size()];
           }));
  return loop;
}

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokens_of(source)) {}

  Block whole() {
    Block block = read_block({});
    if (here().kind != TokenKind::end) refuse("unexpected end of a block");
    return block;
  }

 private:
  const Token& here() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return tokens_[std::min(at_++, tokens_.size() - 1)]; }
  [[noreturn]] void refuse(const std::string& what) const { refuse_template(here().line, what); }
  bool is_sign(std::string_view sign) const { return here().kind == TokenKind::sign && here().text == sign; }
  bool is_name(std::string_view name) const { return here().kind == TokenKind::name && here().text == name; }
  bool take_sign(std::string_view sign) {
    const bool is_it = is_sign(sign);
    if (is_it) ++at_;
    return is_it;
  }
  bool take_name(std::string_view name) {
    const bool is_it = is_name(name);
    if (is_it) ++at_;
    return is_it;
  }
  void need_sign(std::string_view sign) {
    if (!take_sign(sign)) refuse(fmt::format("expected '{}', found '{}'", sign, here().text));
  }
  std::string need_name() {
    if (here().kind != TokenKind::name) refuse(fmt::format("expected a name, found '{}'", here().text));
    return take().text;
  }
  void need(TokenKind kind) {
    if (here().kind != kind)
      refuse(here().text.empty() ? "a tag ends too early" : fmt::format("unexpected '{}'", here().text));
    ++at_;
  }

  struct Deeper {
    explicit Deeper(Parser& of) : parser(of) {
      if (++parser.depth_ > deepest_source)
        parser.refuse(fmt::format("it nests deeper than {} levels", deepest_source));
    }
    ~Deeper() { --parser.depth_; }
    Parser& parser;
  };

  void link() {
    if (++links_ > most_links) refuse(fmt::format("a tag chains more than {} operators", most_links));
  }

  // --- statements ---

  // Up to a statement that begins with one of these names, whose name is the next token then; or to the end.
  Block read_block(std::initializer_list<std::string_view> ends) {
    const Deeper deeper(*this);
    Block block;
    while (here().kind != TokenKind::end) {
      const Token token = take();
      links_ = 0;
      if (token.kind == TokenKind::data) {
        block.push_back([text = token.text](Frame& frame, std::string& out) {
          frame.budget.make(text.size());
          out += text;
          return Flow::next;
        });
      } else if (token.kind == TokenKind::expression) {
        block.push_back([value = read_tuple()](Frame& frame, std::string& out) {
          out += to_text(frame.budget, value(frame));
          return Flow::next;
        });
        need(TokenKind::expression_end);
      } else {  // a statement
        if (std::find(ends.begin(), ends.end(), here().text) != ends.end() && here().kind == TokenKind::name)
          return block;
        block.push_back(read_statement());
      }
    }
    if (ends.size() > 0) refuse(fmt::format("a block has no {{% {} %}}", *(ends.end() - 1)));
    return block;
  }

  void need_end(std::string_view name) {
    if (!take_name(name)) refuse(fmt::format("expected {}", name));
    need(TokenKind::statement_end);
  }

  Statement read_statement() {
    const std::string name = need_name();
    if (name == "for") return read_for();
    if (name == "if") return read_if();
    if (name == "set") return read_set();
    if (name == "macro") return read_macro();
    if (name == "generation") return read_generation();
    if (name == "break" || name == "continue") {
      if (loops_ == 0) refuse(name + " stands in no loop");
      need(TokenKind::statement_end);
      return [flow = name == "break" ? Flow::leave_loop : Flow::next_round](Frame&, std::string&) { return flow; };
    }
    refuse(fmt::format("{{% {} %}} is not supported", name));
  }

  // {% generation %}…{% endgeneration %}: marks the assistant's part for training.
  Statement read_generation() {
    need(TokenKind::statement_end);
    Block body = read_block({"endgeneration"});
    need_end("endgeneration");
    return [body = std::move(body)](Frame& frame, std::string& out) { return run(body, frame, out); };
  }

  Target read_target(bool may_be_attribute) {
    Target target;
    const bool in_brackets = take_sign("(");
    target.names.push_back(need_name());
    if (may_be_attribute && take_sign(".")) {
      target.attribute = need_name();
      return target;
    }
    while (take_sign(",")) {
      target.is_several = true;
      if (here().kind != TokenKind::name) break;
      target.names.push_back(need_name());
    }
    if (in_brackets) need_sign(")");
    return target;
  }

  Statement read_for() {
    Target target = read_target(false);
    if (!take_name("in")) refuse("expected 'in'");
    Expression over = read_tuple(false);
    Expression condition;
    if (take_name("if")) condition = read_expression();
    if (is_name("recursive")) refuse("recursive loops are not supported");
    need(TokenKind::statement_end);
    ++loops_;
    Block body = read_block({"else", "endfor"});
    --loops_;
    Block otherwise;
    if (take_name("else")) {
      need(TokenKind::statement_end);
      otherwise = read_block({"endfor"});
    }
    need_end("endfor");
    return [=, target = std::move(target), over = std::move(over), condition = std::move(condition),
            body = std::move(body), otherwise = std::move(otherwise)](Frame& frame, std::string& out) {
      List items = items_of(frame.budget, over(frame));
      if (condition) {
        List kept;
        for (Value& item : items) {
          Scope scope{.outer = &frame.scope};
          Frame inner{frame.budget, frame.top, scope, frame.calls};
          target.assign(inner, item);
          if (is_true(condition(inner))) kept.push_back(std::move(item));
        }
        items = std::move(kept);
      }
      if (items.empty()) return run(otherwise, frame, out);
      for (std::size_t round = 0; round < items.size(); ++round) {
        frame.budget.step();
        Scope scope{.outer = &frame.scope};
        Frame inner{frame.budget, frame.top, scope, frame.calls};
        scope.values.emplace("loop", loop_facts(items, round));
        target.assign(inner, items[round]);
        if (run(body, inner, out) == Flow::leave_loop) break;
      }
      return Flow::next;
    };
  }

  Statement read_if() {
    std::vector<std::pair<Expression, Block>> branches;
    while (true) {
      Expression condition = read_tuple();
      need(TokenKind::statement_end);
      branches.emplace_back(std::move(condition), read_block({"elif", "else", "endif"}));
      if (!take_name("elif")) break;
    }
    if (take_name("else")) {
      need(TokenKind::statement_end);
      branches.emplace_back([](Frame&) { return Value(true); }, read_block({"endif"}));
    }
    need_end("endif");
    return [branches = std::move(branches)](Frame& frame, std::string& out) {
      for (const auto& [condition, body] : branches)
        if (is_true(condition(frame))) return run(body, frame, out);
      return Flow::next;
    };
  }

  Statement read_set() {
    Target target = read_target(true);
    if (take_sign("=")) {
      Expression value = read_tuple();
      need(TokenKind::statement_end);
      return [target = std::move(target), value = std::move(value)](Frame& frame, std::string&) {
        target.assign(frame, value(frame));
        return Flow::next;
      };
    }
    std::vector<std::pair<Builtin, std::vector<GivenArgument>>> filters;
    while (take_sign("|")) filters.push_back(read_filter());
    need(TokenKind::statement_end);
    Block body = read_block({"endset"});
    need_end("endset");
    return
        [target = std::move(target), filters = std::move(filters), body = std::move(body)](Frame& frame, std::string&) {
          std::string text;
          Scope scope{.outer = &frame.scope};
          Frame inner{frame.budget, frame.top, scope, frame.calls};
          const Flow flow = run(body, inner, text);
          Value value(std::move(text));
          for (const auto& [filter, given] : filters) value = filter(frame.budget, value, evaluated(given, frame));
          target.assign(frame, std::move(value));
          return flow;
        };
  }

  struct Parameter {
    std::string name;
    Expression preset;
  };

  Statement read_macro() {
    const std::string name = need_name();
    std::vector<Parameter> parameters;
    need_sign("(");
    while (!take_sign(")")) {
      if (!parameters.empty()) need_sign(",");
      if (take_sign(")")) break;
      parameters.push_back({need_name(), {}});
      if (take_sign("=")) parameters.back().preset = read_expression();
    }
    need(TokenKind::statement_end);
    const int outer_loops = std::exchange(loops_, 0);
    Block body = read_block({"endmacro"});
    loops_ = outer_loops;
    need_end("endmacro");
    return [name, parameters = std::move(parameters), body = std::move(body)](Frame& frame, std::string&) {
      // What belongs to the rendering outlives every call, and the block belongs to the template.
      Function macro(
          [&name, &parameters, &body, &top = frame.top, &calls = frame.calls](Budget& budget, const Arguments& given) {
            if (calls >= deepest_calls)
              throw InputError("chat template: macros call each other deeper than {} levels", deepest_calls);
            ++calls;
            Scope scope{.outer = &top};
            Frame inner{budget, top, scope, calls};
            if (given.positional.size() > parameters.size())
              throw InputError("chat template: the macro {} takes {} arguments, not {}", name, parameters.size(),
                               given.positional.size());
            for (std::size_t i = 0; i < parameters.size(); ++i) {
              const Value* named = given.named.find(parameters[i].name);
              Value value = Undefined{parameters[i].name};
              if (i < given.positional.size())
                value = given.positional[i];
              else if (named != nullptr)
                value = *named;
              else if (parameters[i].preset)
                value = parameters[i].preset(inner);
              scope.values.insert_or_assign(parameters[i].name, std::move(value));
            }
            std::string text;
            run(body, inner, text);
            --calls;
            return Value(std::move(text));
          });
      frame.scope.values.insert_or_assign(name, Value(std::move(macro)));
      return Flow::next;
    };
  }

  // --- expressions, from the loosest to the tightest operator ---

  // a, b is a tuple, which is a list here.
  Expression read_tuple(bool with_condition = true) {
    const auto one = [&] { return with_condition ? read_expression() : read_or(); };
    Expression first = one();
    if (!is_sign(",")) return first;
    std::vector<Expression> all{std::move(first)};
    while (take_sign(",")) {
      if (here().kind == TokenKind::statement_end || here().kind == TokenKind::expression_end || is_sign(")")) break;
      all.push_back(one());
    }
    return list_of(std::move(all));
  }

  static Expression list_of(std::vector<Expression> all) {
    return [all = std::move(all)](Frame& frame) {
      List values;
      for (const Expression& each : all) values.push_back(each(frame));
      frame.budget.make(values.size() * sizeof(Value));
      return Value(std::move(values));
    };
  }

  // a if b else c
  Expression read_expression() {
    const Deeper deeper(*this);
    Expression value = read_or();
    while (take_name("if")) {
      link();
      Expression condition = read_or(), otherwise;
      if (take_name("else")) otherwise = read_expression();
      value = [value = std::move(value), condition = std::move(condition),
               otherwise = std::move(otherwise)](Frame& frame) {
        if (is_true(condition(frame))) return value(frame);
        return otherwise ? otherwise(frame) : Value();
      };
    }
    return value;
  }

  Expression read_or() {
    Expression left = read_and();
    while (take_name("or")) {
      link();
      left = [left = std::move(left), right = read_and()](Frame& frame) {
        Value value = left(frame);
        return is_true(value) ? value : right(frame);
      };
    }
    return left;
  }

  Expression read_and() {
    Expression left = read_not();
    while (take_name("and")) {
      link();
      left = [left = std::move(left), right = read_not()](Frame& frame) {
        Value value = left(frame);
        return is_true(value) ? right(frame) : value;
      };
    }
    return left;
  }

  Expression read_not() {
    const Deeper deeper(*this);
    if (!take_name("not")) return read_comparison();
    return [value = read_not()](Frame& frame) { return Value(!is_true(value(frame))); };
  }

  std::optional<std::string> take_comparison() {
    constexpr std::array<std::string_view, 6> signs{"==", "!=", "<=", ">=", "<", ">"};
    for (const std::string_view sign : signs)
      if (take_sign(sign)) return std::string(sign);
    if (take_name("in")) return "in";
    if (is_name("not") && next().kind == TokenKind::name && next().text == "in") {
      at_ += 2;
      return "not in";
    }
    return std::nullopt;
  }

  static bool compare(Budget& budget, const std::string& sign, const Value& a, const Value& b) {
    if (sign == "==") return are_equal(budget, a, b);
    if (sign == "!=") return !are_equal(budget, a, b);
    if (sign == "<") return is_less(a, b);
    if (sign == ">") return is_less(b, a);
    if (sign == "<=") return !is_less(b, a);
    if (sign == ">=") return !is_less(a, b);
    return contains(budget, b, a) == (sign == "in");
  }

  Expression read_comparison() {
    Expression first = read_sum();
    std::vector<std::pair<std::string, Expression>> rest;
    while (const auto sign = take_comparison()) rest.emplace_back(*sign, read_sum());
    if (rest.empty()) return first;
    return [first = std::move(first), rest = std::move(rest)](Frame& frame) {
      Value left = first(frame);
      for (const auto& [sign, expression] : rest) {
        Value right = expression(frame);
        if (!compare(frame.budget, sign, left, right)) return Value(false);
        left = std::move(right);
      }
      return Value(true);
    };
  }

  template <class Read>
  Expression read_chain(std::initializer_list<std::string_view> signs, const Read& read) {
    Expression left = read();
    while (here().kind == TokenKind::sign && std::find(signs.begin(), signs.end(), here().text) != signs.end()) {
      std::string sign = take().text;
      link();
      left = [sign = std::move(sign), left = std::move(left), right = read()](Frame& frame) {
        frame.budget.step();
        const Value a = left(frame);
        return calculate(frame.budget, sign, a, right(frame));
      };
    }
    return left;
  }
  Expression read_sum() {
    return read_chain({"+", "-"}, [&] { return read_concatenation(); });
  }
  Expression read_concatenation() {
    return read_chain({"~"}, [&] { return read_product(); });
  }
  Expression read_product() {
    return read_chain({"*", "/", "//", "%"}, [&] { return read_power(); });
  }
  Expression read_power() {
    return read_chain({"**"}, [&] { return read_unary(true); });
  }

  Expression read_unary(bool with_filters) {
    const Deeper deeper(*this);
    Expression value;
    if (is_sign("-") || is_sign("+")) {
      const bool negates = take().text == "-";
      value = [negates, inner = read_unary(false)](Frame& frame) {
        const Value number = inner(frame);
        return negates ? calculate(frame.budget, "-", Value(std::int64_t{0}), number)
                       : calculate(frame.budget, "+", Value(std::int64_t{0}), number);
      };
    } else {
      value = read_primary();
    }
    value = read_postfix(std::move(value));
    return with_filters ? read_filters(std::move(value)) : value;
  }

  Expression constant(Value value) {
    return [value = std::move(value)](Frame&) { return value; };
  }

  Expression read_primary() {
    const Token token = take();
    switch (token.kind) {
      case TokenKind::name:
        if (token.text == "true" || token.text == "True") return constant(true);
        if (token.text == "false" || token.text == "False") return constant(false);
        if (token.text == "none" || token.text == "None") return constant(None{});
        return [name = token.text](Frame& frame) {
          frame.budget.step();
          const Value* found = frame.scope.find(name);
          return found != nullptr ? *found : Value(Undefined{name});
        };
      case TokenKind::text: {
        std::string text = token.text;
        while (here().kind == TokenKind::text) text += take().text;  // one behind the other are one
        return [text = std::move(text)](Frame& frame) {
          frame.budget.make(text.size());
          return Value(text);
        };
      }
      case TokenKind::whole: {
        std::int64_t whole = 0;
        const auto [stop, error] = std::from_chars(token.text.data(), token.text.data() + token.text.size(), whole);
        if (error != std::errc()) refuse_template(token.line, fmt::format("the number {} is too large", token.text));
        return constant(whole);
      }
      case TokenKind::number:
        return constant(std::strtod(token.text.c_str(), nullptr));
      default:
        break;
    }
    if (token.kind == TokenKind::sign && token.text == "(") {
      if (take_sign(")")) return list_of({});
      Expression inner = read_tuple();
      need_sign(")");
      return inner;
    }
    if (token.kind == TokenKind::sign && token.text == "[") {
      std::vector<Expression> all;
      while (!take_sign("]")) {
        if (!all.empty()) need_sign(",");
        if (take_sign("]")) break;
        all.push_back(read_expression());
      }
      return list_of(std::move(all));
    }
    if (token.kind == TokenKind::sign && token.text == "{") return read_dict();
    refuse_template(token.line,
                    token.text.empty() ? "an expression is missing" : fmt::format("unexpected '{}'", token.text));
  }

  Expression read_dict() {
    std::vector<std::pair<Expression, Expression>> all;
    while (!take_sign("}")) {
      if (!all.empty()) need_sign(",");
      if (take_sign("}")) break;
      Expression key = read_expression();
      need_sign(":");
      all.emplace_back(std::move(key), read_expression());
    }
    return [all = std::move(all)](Frame& frame) {
      Dict dict;
      for (const auto& [key, value] : all) {
        const Value name = key(frame);
        if (!name.is<std::string>())
          throw InputError("chat template: a mapping's key is {}, not a text", kind_of(name));
        dict.set(*name.as<std::string>(), value(frame));
      }
      frame.budget.make(dict.size() * sizeof(Value));
      return Value(std::move(dict));
    };
  }

  std::vector<GivenArgument> read_arguments() {
    std::vector<GivenArgument> all;
    while (!take_sign(")")) {
      if (!all.empty()) need_sign(",");
      if (take_sign(")")) break;
      std::string name;
      if (here().kind == TokenKind::name && next().kind == TokenKind::sign && next().text == "=") {
        name = take().text;
        ++at_;
      }
      all.push_back({std::move(name), read_expression()});
    }
    return all;
  }

  Expression read_postfix(Expression value) {
    for (;; link()) {
      if (take_sign(".")) {
        if (here().kind == TokenKind::whole) {
          value = [value = std::move(value),
                   index = constant(static_cast<std::int64_t>(std::atoll(take().text.c_str())))](Frame& frame) {
            return item_of(value(frame), index(frame));
          };
          continue;
        }
        value = [value = std::move(value), name = need_name()](Frame& frame) {
          frame.budget.step();
          return attribute_of(value(frame), name);
        };
      } else if (take_sign("[")) {
        value = read_subscript(std::move(value));
      } else if (take_sign("(")) {
        value = [value = std::move(value), given = read_arguments(), line = here().line](Frame& frame) {
          frame.budget.step();
          const Value called = value(frame);
          const auto* function = called.as<Function>();
          if (function == nullptr) refuse_template(line, kind_of(called) + " cannot be called");
          return (*function)(frame.budget, evaluated(given, frame));
        };
      } else {
        return value;
      }
    }
  }

  // [index] or [begin:end:step]
  Expression read_subscript(Expression value) {
    std::array<Expression, 3> parts;
    std::size_t part = 0;
    while (!take_sign("]")) {
      if (take_sign(":")) {
        if (++part > 2) refuse("a slice has too many parts");
        continue;
      }
      if (parts[part]) refuse("expected ']'");
      parts[part] = read_expression();
    }
    if (part == 0) {
      if (!parts[0]) refuse("an index is missing");
      return [value = std::move(value), index = std::move(parts[0])](Frame& frame) {
        frame.budget.step();
        const Value whole = value(frame);
        if (const auto* text = whole.as<std::string>()) frame.budget.step(text->size());
        return item_of(whole, index(frame));
      };
    }
    return [value = std::move(value), parts = std::move(parts)](Frame& frame) {
      const Value whole = value(frame);
      std::array<Value, 3> bounds;
      for (std::size_t i = 0; i < 3; ++i)
        if (parts[i]) bounds[i] = parts[i](frame);
      return slice_of(frame.budget, whole, bounds[0], bounds[1], bounds[2]);
    };
  }

  std::pair<Builtin, std::vector<GivenArgument>> read_filter() {
    const std::string name = need_name();
    const Builtin filter = find_filter(name);
    if (filter == nullptr) refuse(fmt::format("the filter {} is not supported", name));
    std::vector<GivenArgument> given;
    if (take_sign("(")) given = read_arguments();
    return {filter, std::move(given)};
  }

  Expression read_filters(Expression value) {
    for (;; link()) {
      if (take_sign("|")) {
        value = [value = std::move(value), used = read_filter()](Frame& frame) {
          frame.budget.step();
          const Value tested = value(frame);
          return used.first(frame.budget, tested, evaluated(used.second, frame));
        };
      } else if (take_name("is")) {
        value = read_test(std::move(value));
      } else if (is_sign("(")) {
        value = read_postfix(std::move(value));
      } else {
        return value;
      }
    }
  }

  Expression read_test(Expression value) {
    const bool negates = take_name("not");
    const std::string name = need_name();
    const Builtin test = find_test(name);
    if (test == nullptr) refuse(fmt::format("the test {} is not supported", name));
    std::vector<GivenArgument> given;
    if (take_sign("(")) {
      given = read_arguments();
    } else if (begins_argument()) {
      given.push_back({"", read_postfix(read_primary())});
    }
    return [value = std::move(value), test, given = std::move(given), negates](Frame& frame) {
      frame.budget.step();
      const Value tested = value(frame);
      return Value(is_true(test(frame.budget, tested, evaluated(given, frame))) != negates);
    };
  }

  bool begins_argument() const {
    switch (here().kind) {
      case TokenKind::text:
      case TokenKind::whole:
      case TokenKind::number:
        return true;
      case TokenKind::name: {
        constexpr std::array<std::string_view, 6> operators{"else", "or", "and", "if", "is", "in"};
        return here().text != "not" && std::find(operators.begin(), operators.end(), here().text) == operators.end();
      }
      case TokenKind::sign:
        return here().text == "[" || here().text == "{";
      default:
        return false;
    }
  }

  const std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0, links_ = 0, loops_ = 0;
};

}  // namespace

struct Template::Program {
  Block block;
};

Template::Template(std::string_view source) : program_(std::make_unique<Program>(Program{Parser(source).whole()})) {}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;

std::string Template::render(const Dict& variables, const RenderLimits& limits) const {
  Budget budget(limits.steps, limits.bytes);
  Scope top;
  for (const auto& [name, value] : global_functions()) top.values.emplace(name, value);
  for (const auto& [name, value] : variables) top.values.insert_or_assign(name, value);
  int calls = 0;
  Frame frame{budget, top, top, calls};
  std::string out;
  run(program_->block, frame, out);
  return out;
}

}  // namespace batchscope::jinja
