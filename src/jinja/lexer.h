// A template's source as tokens, with Jinja's control of white space (trim_blocks and lstrip_blocks on, as Hugging Face
// renders chat templates: https://jinja.palletsprojects.com/en/stable/templates/#whitespace-control).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope::jinja {

enum class TokenKind {
  data,
  statement,
  statement_end,
  expression,
  expression_end,
  name,
  whole,
  number,
  text,
  sign,
  end
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text{};  // of data, names, texts (without quotes and escapes), numbers, signs
  int line = 1;
};

// Ends with a token `end`. InputError, which names the line, for what is no template.
std::vector<Token> tokens_of(std::string_view source);

// Throws InputError "chat template, line N: …".
[[noreturn]] void refuse_template(int line, const std::string& what);

}  // namespace batchscope::jinja
