// How servers are asked for the log-probabilities of a prompt's own tokens, and what they answer: the bodies of three
// APIs, and everything that comes back in one form.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope {

enum class ScoringForm {
  echo,             // completions of the OpenAI API with `echo` and `logprobs`
  prompt_logprobs,  // the same with vLLM's `prompt_logprobs`
  generate,         // SGLang's own /generate with `return_logprob`
};
std::string_view words_of(ScoringForm form);
bool is_of_completions(ScoringForm form);  // asked at /v1/completions, and not at /generate

// Token ids, or where there are none, text.
struct ScoredPrompt {
  std::vector<std::int32_t> tokens = {};
  std::string text = {};
};

struct ScoredToken {
  std::optional<double> log_probability{};  // natural logarithm, given all tokens before; absent: none was told
  std::optional<std::int32_t> id{};
  std::optional<std::string> text{};
};

// Whatever the server does not tell is absent.
struct PromptScores {
  std::vector<ScoredToken> tokens{};  // of the prompt; OpenAI's echo lists what was generated behind it
  std::optional<std::int64_t> prompt_tokens{}, completion_tokens{};
  std::optional<std::int64_t> cached_tokens{};  // of the prompt, taken from the prefix cache
};

// One token is generated, greedily: it is drawn from the pass that scores the prompt, so it costs nothing, and some
// servers read 0 as "no limit". `model`, `salt` (of vLLM's prefix cache): "": left out.
nlohmann::json scoring_body(ScoringForm form, const ScoredPrompt& prompt, const std::string& model,
                            const std::string& salt);
// What a prompt is continued with, greedily, and the log-probabilities of that: read as those of `echo`.
nlohmann::json continuation_body(const std::string& text, std::int64_t tokens, const std::string& model);
// InputError that says what is wrong with the answer.
PromptScores read_prompt_scores(ScoringForm form, std::string_view answer);

}  // namespace batchscope
