// Turns tokens back into text, by the decoders of tokenizer.json.
#include "model/token_decoder.h"

#include <charconv>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "model/unicode_text.h"

namespace batchscope {
namespace {

using Tokens = std::vector<std::string>;

void apply(const ReplaceText& step, Tokens& tokens, std::size_t most) {
  const std::vector<Normalizer> replace{step};
  std::size_t made = 0;
  for (std::string& token : tokens) {
    TextPart part{std::move(token), false, most};
    normalize(replace, part);
    token = std::move(part.text);
    check_made(made += token.size(), most);
  }
}

void apply(FuseTokens, Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  tokens = {std::move(text)};
}

std::optional<char> fallback_byte(std::string_view token) {
  unsigned value = 0;
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  const auto [stop, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  if (error != std::errc() || stop != token.data() + 5) return std::nullopt;
  return static_cast<char>(value);
}

void apply(ReadFallbackBytes, Tokens& tokens) {
  Tokens result;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (well_formed(bytes) == bytes) {
      result.push_back(bytes);
    } else {
      for (std::size_t i = 0; i < bytes.size(); ++i) result.emplace_back("\ufffd");
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = fallback_byte(token)) {
      bytes += *byte;
      continue;
    }
    flush();
    result.push_back(std::move(token));
  }
  flush();
  tokens = std::move(result);
}

void apply(ReadByteCharacters, Tokens& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) {
    const std::size_t begin = bytes.size();
    for (std::size_t at = 0; at < token.size();) {
      const CodePoint next = code_point_at(token, at);
      at += next.bytes;
      const int byte = byte_of_character(next.value);
      if (byte < 0) {  // an added token that is no byte-level text
        bytes.replace(begin, std::string::npos, token);
        break;
      }
      bytes += static_cast<char>(byte);
    }
  }
  tokens = {well_formed(bytes)};
}

void apply(const StripCharacters& step, Tokens& tokens) {
  if (step.character.empty()) return;
  for (std::string& token : tokens) {
    std::string_view rest = token;
    for (std::size_t i = 0; i < step.left && rest.starts_with(step.character); ++i)
      rest.remove_prefix(step.character.size());
    for (std::size_t i = 0; i < step.right && rest.ends_with(step.character); ++i)
      rest.remove_suffix(step.character.size());
    token = std::string(rest);
  }
}

void apply(const ReadMarks& step, Tokens& tokens) {
  for (std::size_t i = 0; i < tokens.size(); ++i)
    replace_all(tokens[i], step.mark, i == 0 && step.drop_first ? "" : " ");
}

}  // namespace

std::string decode_tokens(const std::vector<TokenDecoder>& steps, std::vector<std::string> tokens) {
  std::size_t bytes = 0;
  for (const std::string& token : tokens) bytes += token.size();
  const std::size_t most = most_made_of(bytes);
  for (const TokenDecoder& step : steps) {
    std::visit(
        [&]<class Step>(const Step& each) {
          if constexpr (std::is_same_v<Step, ReplaceText>)
            apply(each, tokens, most);
          else
            apply(each, tokens);
        },
        step);
  }
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

}  // namespace batchscope
