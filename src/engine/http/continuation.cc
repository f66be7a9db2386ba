// Sums of log-probabilities (engine/http/continuation.h).
#include "engine/http/continuation.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"

namespace batchscope {
namespace {

constexpr const char* use_model = "; name the model's files with --model, so that tokens can be counted";

// How many of the prompt's last tokens begin in the continuation. Tokens are followed through the text by their
// letters: parts of a character, which servers show as U+FFFD or as nothing, are passed over.
std::size_t tokens_by_text(const ScoreRequest& request, const PromptScores& scores, std::size_t listed,
                           bool& is_whole) {
  const std::string whole = letters_of(request.context + request.continuation);
  const std::size_t boundary = letters_of(request.context).size();
  std::size_t at = 0, count = 0;
  is_whole = true;
  for (std::size_t i = 0; i < listed; ++i) {
    const ScoredToken& token = scores.tokens[i];
    if (!token.text && i > 0) throw Failure("the server does not tell its tokens' texts{}", use_model);
    const std::string letters = letters_of(token.text.value_or(""));
    const std::size_t found = whole.find(letters, at);
    if (found == std::string::npos && i == 0) continue;  // BOS, by whatever name
    if (found == std::string::npos)
      throw Failure("the server's token {} is not in {}{}", quote(*token.text),
                    quote(request.context + request.continuation), use_model);
    const bool is_passed_over =
        std::any_of(whole.begin() + static_cast<std::ptrdiff_t>(at), whole.begin() + static_cast<std::ptrdiff_t>(found),
                    [](unsigned char c) { return c < 0x80; });
    is_whole = is_whole && !is_passed_over;  // parts of characters are no ASCII
    if (!letters.empty()) at = found;
    count += at >= boundary ? 1 : 0;
    at += letters.size();
  }
  if (count == 0) throw Failure("none of the server's tokens begins in {}{}", quote(request.continuation), use_model);
  return count;
}

}  // namespace

std::string letters_of(std::string_view text) {
  std::string letters;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const auto point = next_code_point(text, at);
    constexpr char32_t sentencepiece_space = 0x2581, bytes_space = 0x120, bytes_line = 0x10A, replacement = 0xFFFD;
    const bool is_letter = point && *point > ' ' && *point != sentencepiece_space && *point != bytes_space &&
                           *point != bytes_line && *point != replacement;
    if (is_letter) letters += text.substr(begin, at - begin);
  }
  return letters;
}

std::size_t listed_tokens(const ScoringMethod& method, const ScoredPrompt& prompt, const PromptScores& scores) {
  const auto listed = static_cast<std::int64_t>(scores.tokens.size());
  const auto sent = method.sends_tokens ? std::optional(std::ssize(prompt.tokens)) : std::optional<std::int64_t>();
  if (sent && scores.prompt_tokens && *scores.prompt_tokens != *sent)
    throw Failure("the server read {} tokens of a prompt of {}; is its context too short?", *scores.prompt_tokens,
                  *sent);
  const std::int64_t generated = method.lists_generated ? 1 : 0;
  const std::int64_t expected =
      sent.value_or(scores.prompt_tokens.value_or(listed - generated + static_cast<std::int64_t>(method.unlisted))) -
      static_cast<std::int64_t>(method.unlisted);
  if (listed < expected || listed > expected + generated)
    throw Failure("{} log-probabilities came back for a prompt of {} tokens", listed, expected);
  for (std::size_t i = 0; method.sends_tokens && i < static_cast<std::size_t>(expected); ++i)
    if (const auto id = scores.tokens[i].id; id && *id != prompt.tokens[i + method.unlisted])
      throw Failure("the server scored the token {} where {} was sent", *id, prompt.tokens[i + method.unlisted]);
  return static_cast<std::size_t>(std::max<std::int64_t>(expected, 0));
}

ContinuationScore score_continuation(const ScoringMethod& method, const ScoreRequest& request,
                                     const PromptScores& scores) {
  const ScoredPrompt prompt{.tokens = request.tokens, .text = request.context + request.continuation};
  const std::size_t listed = listed_tokens(method, prompt, scores);
  ContinuationScore score{.prompt_tokens = scores.prompt_tokens};
  if (!score.prompt_tokens && method.sends_tokens) score.prompt_tokens = std::ssize(request.tokens);
  const bool is_counted =
      method.sends_tokens || (!request.tokens.empty() && score.prompt_tokens == std::ssize(request.tokens));
  score.is_drifted = !is_counted && !request.tokens.empty();
  score.is_whole = is_counted;
  const std::size_t scored =
      is_counted ? static_cast<std::size_t>(request.scored) : tokens_by_text(request, scores, listed, score.is_whole);
  if (scored > listed)
    throw Failure("{} log-probabilities came back, and the continuation alone has {} tokens", listed, scored);
  for (std::size_t i = listed - scored; i < listed; ++i) {
    if (!scores.tokens[i].log_probability)
      throw Failure("the server tells no log-probability of token {} of {}", i + 1, listed);
    score.log_likelihood += *scores.tokens[i].log_probability;
  }
  return score;
}

}  // namespace batchscope
