// Translating patterns and running them (model/regular_expression.h).
#include "model/regular_expression.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "model/unicode_text.h"

namespace batchscope {
namespace {

constexpr std::size_t longest_pattern = 64 << 10;
// Steps of one match. A long text needs a few a character; a pattern that backtracks without end needs them all.
constexpr std::uint32_t most_match_steps = 100'000'000;
constexpr std::size_t jit_stack_bytes = 64 << 20;

constexpr std::string_view word_class = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// One pass over the pattern. What both read alike is copied; what PCRE2 does not know it refuses itself.
class Translator {
 public:
  Translator(std::string_view pattern, std::string_view origin) : in_(pattern), origin_(origin) {}

  std::string run() {
    while (at_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw InputError("{}: not supported yet: {} in the regular expression {}", origin_, what, quote(in_));
  }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  void copy(std::size_t bytes) {
    out_ += in_.substr(at_, bytes);
    at_ += bytes;
  }
  void begin_atom() { atom_ = out_.size(); }

  void step();
  void group();
  void character_class();
  void escape(bool in_class);
  void interval();

  std::string_view in_, origin_;
  std::string out_;
  std::size_t at_ = 0;
  std::size_t atom_ = 0;             // where in out_ the last atom begins
  std::vector<std::size_t> groups_;  // where in out_ the open groups begin
};

void Translator::step() {
  switch (peek()) {
    case '(':
      return group();
    case ')':
      if (groups_.empty()) refuse("an unmatched )");
      atom_ = groups_.back();
      groups_.pop_back();
      return copy(1);
    case '[':
      begin_atom();
      return character_class();
    case '\\':
      begin_atom();
      return escape(false);
    case '{':
      return interval();
    case '*':
    case '+':
    case '?':
    case '|':
      return copy(1);
    default:
      begin_atom();
      return copy(code_point_at(in_, at_).bytes);
  }
}

void Translator::group() {
  groups_.push_back(out_.size());
  if (peek(1) != '?') return copy(1);
  switch (peek(2)) {
    case ':':
    case '=':
    case '!':
    case '>':
      return copy(3);
    case '<':
      if (peek(3) != '=' && peek(3) != '!') refuse("a named group");
      return copy(4);
    case 'i':
      if (peek(3) == ':') return copy(4);
      if (peek(3) == ')') {  // Oniguruma ends this at the enclosing group or alternative, PCRE2 at the group
        if (groups_.size() != 1 || !out_.empty()) refuse("(?i) behind the beginning");
        groups_.pop_back();
        return copy(4);
      }
      break;
    default:
      break;
  }
  refuse(fmt::format("the group option {}", quote(in_.substr(at_, 4))));
}

void Translator::character_class() {
  copy(1);
  if (peek() == '^') copy(1);
  if (peek() == ']') refuse("a character class that begins with ]");
  while (at_ < in_.size() && peek() != ']') {
    if (peek() == '[') refuse("[ in a character class");
    if (peek() == '&' && peek(1) == '&') refuse("&& in a character class");
    if (peek() == '\\') {
      escape(true);
    } else {
      copy(code_point_at(in_, at_).bytes);
    }
  }
  if (peek() != ']') refuse("a character class without its end");
  copy(1);
}

void Translator::escape(bool in_class) {
  const char kind = peek(1);
  const auto put = [&](std::string_view text) {
    out_ += text;
    at_ += 2;
  };
  switch (kind) {
    case 's':
      return put("\\p{White_Space}");
    case 'S':
      return put("\\P{White_Space}");
    case 'd':
      return put("\\p{Nd}");
    case 'D':
      return put("\\P{Nd}");
    case 'w':
      return put(in_class ? std::string(word_class) : fmt::format("[{}]", word_class));
    case 'W':
      if (in_class) refuse("\\W in a character class");
      return put(fmt::format("[^{}]", word_class));
    case 'v':
      return put("\\x0b");
    case 'n':
    case 'r':
    case 't':
    case 'f':
    case 'a':
    case 'e':
      return copy(2);
    case 'p':
    case 'P': {
      const std::size_t end = in_.find('}', at_);
      if (peek(2) != '{' || end == std::string_view::npos) refuse("\\p without {}");
      return copy(end + 1 - at_);
    }
    case 'x':
      if (peek(2) == '{') {
        const std::size_t end = in_.find('}', at_);
        if (end == std::string_view::npos) refuse("\\x{ without its end");
        return copy(end + 1 - at_);
      }
      if (peek(2) >= '8') refuse("\\x of a byte that is no character");  // Oniguruma: a byte; PCRE2: a code point
      return copy(4);
    case 'u': {
      const std::string_view digits = in_.substr(std::min(at_ + 2, in_.size()), 4);
      if (digits.size() < 4) refuse("\\u without four digits");
      out_ += fmt::format("\\x{{{}}}", digits);
      at_ += 6;
      return;
    }
    case 'A':
    case 'z':
    case 'Z':
      if (in_class) break;
      return copy(2);
    default:
      // Behind a backslash, what is neither letter nor digit stands for itself in both.
      if (kind != '\0' && !(kind >= 'a' && kind <= 'z') && !(kind >= 'A' && kind <= 'Z') && !is_digit(kind)) {
        copy(1);
        return copy(code_point_at(in_, at_).bytes);
      }
      break;
  }
  refuse(fmt::format("\\{}", std::string(1, kind)));
}

// {n}, {n,}, {n,m}, {,m}: a + behind it repeats the whole, where PCRE2 would make it possessive. Else { is a character.
void Translator::interval() {
  std::size_t end = at_ + 1;
  std::size_t digits = 0, commas = 0;
  for (; end < in_.size() && (is_digit(in_[end]) || in_[end] == ','); ++end) (in_[end] == ',' ? commas : digits) += 1;
  if (end >= in_.size() || in_[end] != '}' || digits == 0 || commas > 1) {
    begin_atom();
    out_ += "\\{";
    ++at_;
    return;
  }
  std::string repeat(in_.substr(at_, end + 1 - at_));
  if (repeat[1] == ',') repeat.insert(1, "0");
  at_ = end + 1;
  if (peek() == '?' && commas == 0) refuse("{n}?");
  out_ += repeat;
  if (peek() != '+') return;
  out_.insert(atom_, "(?:");
  out_ += ')';
  copy(1);
}

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(error, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

struct RegularExpression::Code {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  bool compiled = false;  // to machine code

  Code() = default;
  Code(const Code&) = delete;
  ~Code() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

std::string translate_pattern(std::string_view pattern, std::string_view origin) {
  return Translator(pattern, origin).run();
}

RegularExpression::RegularExpression(std::string_view pattern, std::string_view origin)
    : code_(std::make_unique<Code>()), origin_(origin), pattern_(pattern) {
  if (pattern.size() > longest_pattern)
    throw InputError("{}: a regular expression of {} bytes is too long", origin, pattern.size());
  const std::string translated = translate_pattern(pattern, origin);
  int error = 0;
  std::size_t offset = 0;
  code_->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (code_->code == nullptr)
    throw InputError("{}: cannot use the regular expression {}: {}", origin, quote(pattern), message_of(error));
  code_->compiled = pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE) == 0;
  code_->context = pcre2_match_context_create(nullptr);
  if (code_->context == nullptr) throw Failure("{}: no memory for a regular expression", origin);
  pcre2_set_match_limit(code_->context, most_match_steps);
}

RegularExpression::~RegularExpression() = default;
RegularExpression::RegularExpression(RegularExpression&&) noexcept = default;
RegularExpression& RegularExpression::operator=(RegularExpression&&) noexcept = default;

void RegularExpression::find_all(std::string_view text, std::vector<Span>& matches) const {
  matches.clear();
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(code_->code, nullptr), pcre2_match_data_free);
  // The stack of compiled matching belongs to the call; made only when the small one, on the thread's stack, is full.
  std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> own(nullptr, pcre2_match_context_free);
  std::unique_ptr<pcre2_jit_stack, decltype(&pcre2_jit_stack_free)> stack(nullptr, pcre2_jit_stack_free);
  pcre2_match_context* context = code_->context;
  std::size_t begin = 0;
  bool behind_match = false;
  while (begin <= text.size()) {
    const int result = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), begin,
                                   PCRE2_NO_UTF_CHECK, data.get(), context);
    if (result == PCRE2_ERROR_NOMATCH) return;
    if (result == PCRE2_ERROR_JIT_STACKLIMIT && !stack) {
      own.reset(pcre2_match_context_copy(code_->context));
      stack.reset(pcre2_jit_stack_create(32 << 10, jit_stack_bytes, nullptr));
      pcre2_jit_stack_assign(own.get(), nullptr, stack.get());
      context = own.get();
      continue;
    }
    if (result < 0)
      throw InputError("{}: the regular expression {} fails on a text of {} bytes: {}", origin_, quote(pattern_),
                       text.size(), message_of(result));
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(data.get());
    if (found[0] == found[1] && behind_match && found[0] == begin) {  // empty, and right behind a match
      if (begin == text.size()) return;
      begin += code_point_at(text, begin).bytes;
      behind_match = false;
      continue;
    }
    matches.push_back({found[0], found[1]});
    begin = found[1];
    behind_match = true;
  }
}

void TextPattern::find_all(std::string_view text, std::vector<Span>& matches) const {
  if (expression_) return expression_->find_all(text, matches);
  matches.clear();
  if (literal_.empty()) return;
  for (std::size_t at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, at)) {
    matches.push_back({at, at + literal_.size()});
    at += literal_.size();
  }
}

}  // namespace batchscope
