// Tokens of a template (jinja/lexer.h).
#include "jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "base/utf8.h"

namespace batchscope::jinja {
namespace {

constexpr std::string_view white_space = " \t\n\r\v\f";

bool is_white(char c) { return white_space.find(c) != std::string_view::npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

// \r\n and \r are \n; of the line ends at the end one goes.
std::string with_plain_line_ends(std::string_view source) {
  std::string out;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_plain_line_ends(well_formed(source))) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const std::size_t tag = next_tag(at_);
      add_data(at_, tag);
      if (tag == source_.size()) break;
      advance(tag);
      read_tag();
    }
    add(TokenKind::end, "");
    return std::move(tokens_);
  }

 private:
  bool is_at(std::size_t at, std::string_view text) const {
    return std::string_view(source_).substr(std::min(at, source_.size())).starts_with(text);
  }
  std::size_t next_tag(std::size_t from) const {
    for (std::size_t at = source_.find('{', from); at != std::string::npos; at = source_.find('{', at + 1))
      if (is_at(at, "{{") || is_at(at, "{%") || is_at(at, "{#")) return at;
    return source_.size();
  }
  void advance(std::size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  // What stands before the tag at `end`, as far as the tag leaves it.
  void add_data(std::size_t begin, std::size_t end) {
    std::string text = source_.substr(begin, end - begin);
    if (is_at(end + 2, "-")) {
      text.erase(text.find_last_not_of(white_space) + 1);
    } else if (end < source_.size() && source_[end + 1] != '{' && !is_at(end + 2, "+")) {
      const std::size_t line = text.rfind('\n') + 1;  // 0 without one
      const bool begins_line = line > 0 || begin == 0 || source_[begin - 1] == '\n';
      if (begins_line && text.find_first_not_of(" \t", line) == std::string::npos) text.erase(line);
    }
    if (!text.empty()) add(TokenKind::data, std::move(text));
  }

  void read_tag() {
    const char kind = source_[at_ + 1];
    const int begin_line = line_;
    advance(at_ + 2);
    if (kind == '#') {
      const std::size_t end = source_.find("#}", at_);
      if (end == std::string::npos) refuse_template(begin_line, "a comment {# has no #}");
      const bool strips = end > at_ && source_[end - 1] == '-';
      advance(end + 2);
      return skip_behind(strips, true, false);
    }
    if (is_at(at_, "-") || is_at(at_, "+")) advance(at_ + 1);
    const bool is_statement = kind == '%';
    if (is_statement && read_raw()) return;
    add(is_statement ? TokenKind::statement : TokenKind::expression, "");
    read_inside(is_statement ? "%}" : "}}", is_statement, begin_line);
  }

  // White space that a tag takes with it.
  void skip_behind(bool strips, bool is_block, bool keeps) {
    std::size_t to = at_;
    if (strips)
      while (to < source_.size() && is_white(source_[to])) ++to;
    else if (is_block && !keeps && is_at(to, "\n"))
      ++to;
    advance(to);
  }

  // {% raw %}…{% endraw %}
  bool read_raw() {
    const auto word = [&](std::size_t& at, std::string_view name) {
      while (at < source_.size() && is_white(source_[at])) ++at;
      if (!is_at(at, name)) return false;
      at += name.size();
      return true;
    };
    // Behind a name: the sign of white space, and the end of the tag.
    const auto closing = [&](std::size_t& at, bool& strips) {
      while (at < source_.size() && is_white(source_[at])) ++at;
      strips = is_at(at, "-");
      if (strips) ++at;
      if (!is_at(at, "%}")) return false;
      at += 2;
      return true;
    };
    std::size_t at = at_;
    bool strips = false;
    if (!word(at, "raw") || !closing(at, strips)) return false;
    advance(at);
    skip_behind(strips, true, false);
    for (std::size_t end = source_.find("{%", at_); end != std::string::npos; end = source_.find("{%", end + 2)) {
      at = end + 2;
      if (is_at(at, "-") || is_at(at, "+")) ++at;
      if (!word(at, "endraw") || !closing(at, strips)) continue;
      add_data(at_, end);
      advance(at);
      skip_behind(strips, true, false);
      return true;
    }
    refuse_template(line_, "{% raw %} has no {% endraw %}");
  }

  void read_inside(std::string_view closing, bool is_statement, int begin_line) {
    std::string open;  // brackets
    while (true) {
      std::size_t to = at_;
      while (to < source_.size() && is_white(source_[to])) ++to;
      advance(to);
      if (at_ == source_.size()) refuse_template(begin_line, fmt::format("a tag has no {}", closing));
      const bool signed_end = (source_[at_] == '-' || (is_statement && source_[at_] == '+')) && is_at(at_ + 1, closing);
      if (open.empty() && (signed_end || is_at(at_, closing))) {
        const char sign = signed_end ? source_[at_] : ' ';
        advance(at_ + (signed_end ? 1 : 0) + 2);
        add(is_statement ? TokenKind::statement_end : TokenKind::expression_end, "");
        return skip_behind(sign == '-', is_statement, sign == '+');
      }
      read_token(open);
    }
  }

  void read_token(std::string& open) {
    const char c = source_[at_];
    if (c == '"' || c == '\'') return read_text(c);
    if (is_digit(c)) return read_number();
    std::size_t to = at_;
    if (is_name_start(c)) {
      while (to < source_.size() && (is_name_start(source_[to]) || is_digit(source_[to]))) ++to;
      add(TokenKind::name, source_.substr(at_, to - at_));
      return advance(to);
    }
    constexpr std::array<std::string_view, 6> two{"==", "!=", "<=", ">=", "//", "**"};
    for (const std::string_view sign : two)
      if (is_at(at_, sign)) {
        add(TokenKind::sign, std::string(sign));
        return advance(at_ + 2);
      }
    if (std::string_view("+-*/%~|.,:()[]{}<>=").find(c) == std::string_view::npos)
      refuse_template(line_, fmt::format("unexpected character '{}'", c));
    if (c == '(' || c == '[' || c == '{') open += c;
    if ((c == ')' || c == ']' || c == '}') && !open.empty()) open.pop_back();
    add(TokenKind::sign, std::string(1, c));
    advance(at_ + 1);
  }

  void read_number() {
    std::size_t to = at_;
    const auto digits = [&] {
      while (to < source_.size() && (is_digit(source_[to]) || source_[to] == '_')) ++to;
    };
    digits();
    bool is_whole = true;
    if (is_at(to, ".") && to + 1 < source_.size() && is_digit(source_[to + 1])) {
      is_whole = false;
      ++to;
      digits();
    }
    if (to < source_.size() && (source_[to] == 'e' || source_[to] == 'E')) {
      is_whole = false;
      ++to;
      if (is_at(to, "-") || is_at(to, "+")) ++to;
      digits();
    }
    std::string text = source_.substr(at_, to - at_);
    std::erase(text, '_');
    add(is_whole ? TokenKind::whole : TokenKind::number, std::move(text));
    advance(to);
  }

  void read_text(char quote) {
    std::string text;
    std::size_t at = at_ + 1;
    while (true) {
      if (at >= source_.size()) refuse_template(line_, "a text has no closing quote");
      const char c = source_[at++];
      if (c == quote) break;
      if (c != '\\') {
        text += c;
        continue;
      }
      if (at < source_.size()) read_escape(at, text);
    }
    add(TokenKind::text, std::move(text));
    advance(at);
  }

  // As Python's texts have them.
  void read_escape(std::size_t& at, std::string& text) const {
    const char c = source_[at++];
    constexpr std::string_view letters = "ntrbfav0\\'\"", stand_for = {"\n\t\r\b\f\a\v\0\\'\"", 11};
    if (c == '\n') return;
    if (c == 'x' || c == 'u' || c == 'U') {
      const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      std::uint32_t value = 0;
      const char* const begin = source_.data() + at;
      const char* const end = source_.data() + std::min(at + digits, source_.size());
      const auto [stop, error] = std::from_chars(begin, end, value, 16);
      if (error != std::errc() || stop != begin + digits || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        refuse_template(line_, fmt::format("\\{} is followed by {} digits that name a character", c, digits));
      append_code_point(value, text);
      at += digits;
      return;
    }
    if (const auto letter = letters.find(c); letter != std::string_view::npos)
      text += stand_for[letter];
    else
      text += std::string("\\") + c;
  }

  const std::string source_;
  std::size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokens_of(std::string_view source) { return Lexer(source).run(); }

void refuse_template(int line, const std::string& what) { throw InputError("chat template, line {}: {}", line, what); }

}  // namespace batchscope::jinja
