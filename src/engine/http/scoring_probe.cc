// The known-answer test of a server (engine/http/scoring_probe.h).
#include "engine/http/scoring_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <future>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace batchscope {
namespace {

constexpr std::array texts{"The capital of France is", "Monday, Tuesday, Wednesday, Thursday,",
                           "One day, a little girl named Lily found", "She opened the door and walked into the"};

constexpr double most_difference = 0.25;           // of a token's log-probability, alone and as part of a prompt
constexpr double difference_per_root_token = 0.1;  // of sums, alone and beside others

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw CannotScore(fmt::format(format, std::forward<Args>(args)...));
}

class Probe {
 public:
  Probe(const Tokenizer* tokenizer, const ProbedServer& server, ScoringMethod method)
      : tokenizer_(tokenizer), server_(server), method_(std::move(method)) {}

  ScoringMethod run() {
    const ScoredPrompt first = prompt_of(texts[0]);
    const PromptScores alone = server_.score(method_.form, first);
    learn_what_is_listed(first, alone);
    const std::size_t listed = check(first, alone);
    check_beside_others(sum(alone, listed), listed);
    check_generated();
    return method_;
  }

 private:
  ScoredPrompt prompt_of(const std::string& text) const {
    ScoredPrompt prompt{.text = text};
    if (method_.sends_tokens) prompt.tokens = tokenizer_->encode(text);
    return prompt;
  }

  // How many tokens from `begin` spell the text; absent: none do.
  static std::optional<std::size_t> spelled(const PromptScores& scores, std::size_t begin, const std::string& text) {
    const std::string wanted = letters_of(text);
    std::string found;
    for (std::size_t i = begin; i < scores.tokens.size(); ++i) {
      found += letters_of(*scores.tokens[i].text);
      if (found == wanted) return i + 1;
      if (!wanted.starts_with(found)) break;
    }
    return std::nullopt;
  }

  void learn_what_is_listed(const ScoredPrompt& prompt, const PromptScores& scores) {
    const std::size_t all = scores.tokens.size();
    const std::size_t sent = method_.sends_tokens
                                 ? prompt.tokens.size()
                                 : static_cast<std::size_t>(scores.prompt_tokens.value_or(0));  // 0: not told
    if (all == 0) refuse("{} brings no log-probabilities of the prompt", words_of(method_.form));
    if (all == 1)
      refuse("{} is ignored: 1 log-probability came back for a prompt of several tokens", words_of(method_.form));
    const bool has_text = std::all_of(scores.tokens.begin() + 1, scores.tokens.end(),
                                      [](const ScoredToken& token) { return token.text.has_value(); });
    std::size_t listed = sent;
    if (has_text) {
      std::optional<std::size_t> end;
      if (scores.tokens[0].text) end = spelled(scores, 0, prompt.text);
      if (!end) end = spelled(scores, 1, prompt.text);  // behind BOS, or a first token that is not told
      if (!end && !scores.tokens[0].text) end = spelled_but_first(scores, prompt.text);
      if (!end) {
        std::string said;
        for (const ScoredToken& token : scores.tokens) said += token.text.value_or("");
        refuse("the tokens that came back spell {} where {} was sent{}", quote(said), quote(prompt.text),
               method_.sends_tokens ? ": is --model the model that it serves?" : "");
      }
      listed = *end;
    } else if (sent == 0) {
      refuse("the server says neither how many tokens a prompt has nor what they spell");
    }
    if (sent > 0 && listed != sent && listed + 1 != sent)
      refuse("{} log-probabilities came back for a prompt of {} tokens", listed, sent);
    if (all < listed || all > listed + 1)
      refuse("{} log-probabilities came back for a prompt of {} tokens", all, listed);
    method_.unlisted = sent > listed ? sent - listed : 0;
    method_.lists_generated = all > listed;
  }

  // vLLM tells nothing of the first token, which lies in the first word.
  static std::optional<std::size_t> spelled_but_first(const PromptScores& scores, const std::string& text) {
    const std::string whole = letters_of(text), after_first_word = letters_of(text.substr(text.find(' ')));
    for (std::size_t end = scores.tokens.size(); end + 1 >= scores.tokens.size() && end > 1; --end) {
      std::string found;
      for (std::size_t i = 1; i < end; ++i) found += letters_of(*scores.tokens[i].text);
      if (whole.ends_with(found) && found.size() >= after_first_word.size()) return end;
    }
    return std::nullopt;
  }

  std::size_t check(const ScoredPrompt& prompt, const PromptScores& scores) const {
    std::size_t listed = 0;
    try {
      listed = listed_tokens(method_, prompt, scores);
    } catch (const Failure& failure) {
      throw CannotScore(failure.what());
    }
    if (listed < 2) refuse("a prompt of several words has {} tokens", listed);
    if (scores.tokens[0].log_probability && method_.unlisted == 0)
      refuse("the first token has a log-probability, though nothing precedes it: it cannot be the prompt's");
    for (std::size_t i = 1; i < listed; ++i) {
      const auto value = scores.tokens[i].log_probability;
      if (!value || !std::isfinite(*value) || *value > 1e-3)
        refuse("the log-probability of token {} of a prompt is {}", i + 1, value ? fmt::format("{}", *value) : "null");
    }
    const auto value = [&](std::size_t i) { return *scores.tokens[i].log_probability; };
    bool all_equal = listed > 2;
    for (std::size_t i = 2; i < listed; ++i) all_equal = all_equal && std::abs(value(i) - value(1)) < 1e-6;
    if (all_equal) refuse("all tokens of a prompt have the log-probability {}: these are no probabilities", value(1));
    return listed;
  }

  static double sum(const PromptScores& scores, std::size_t listed) {
    double total = 0;
    for (std::size_t i = 1; i < listed; ++i) total += *scores.tokens[i].log_probability;
    return total;
  }

  void check_beside_others(double alone, std::size_t listed) const {
    std::vector<std::future<double>> beside;
    for (const char* text : texts)
      beside.push_back(std::async(std::launch::async, [this, other = prompt_of(text)] {
        const PromptScores scores = server_.score(method_.form, other);
        return sum(scores, check(other, scores));
      }));
    for (auto& each : beside) each.wait();
    std::vector<double> sums;
    for (auto& each : beside) sums.push_back(each.get());
    const double tolerance = difference_per_root_token * std::sqrt(static_cast<double>(listed));
    if (!(std::abs(sums.front() - alone) <= tolerance))
      refuse("a prompt's log-probabilities add up to {:.4g} alone and to {:.4g} beside others", alone, sums.front());
    if (std::all_of(sums.begin(), sums.end(), [&](double each) { return std::abs(each - sums.front()) < 1e-6; }))
      refuse("different prompts have the same log-likelihood, {:.4g}", alone);
  }

  void check_generated() const {
    bool is_order_checked = false;
    for (const char* text : texts) {
      PromptScores generated;
      try {
        generated = server_.go_on(text);
      } catch (const CannotScore&) {
        return;  // it does not tell: the other checks stand
      }
      if (generated.tokens.empty() || !generated.tokens[0].text || letters_of(*generated.tokens[0].text).empty() ||
          !generated.tokens[0].log_probability)
        continue;
      check_first(text, generated.tokens[0]);
      if (!is_order_checked) is_order_checked = check_order(text, generated);
    }
  }

  // The same token's log-probability as the last one of a prompt.
  void check_first(const std::string& text, const ScoredToken& generated) const {
    const ScoredPrompt whole = prompt_of(text + *generated.text), before = prompt_of(text);
    if (method_.sends_tokens && whole.tokens.size() != before.tokens.size() + 1) return;  // it merges with the text
    const PromptScores scores = server_.score(method_.form, whole);
    const std::size_t listed = check(whole, scores);
    const ScoredToken& last = scores.tokens[listed - 1];
    if (!last.text || letters_of(*last.text) != letters_of(*generated.text)) return;
    if (!(std::abs(*last.log_probability - *generated.log_probability) <= most_difference))
      refuse(
          "the token {} has the log-probability {:.3f} where the server generates it and {:.3f} where it is part of a "
          "prompt: those of prompts are not its model's, or belong to other tokens",
          quote(*generated.text), *generated.log_probability, *last.log_probability);
  }

  // Whether it could be seen that what the server generates is more probable than the same in reverse.
  bool check_order(const std::string& text, const PromptScores& generated) const {
    std::string forward, reverse;
    for (const ScoredToken& token : generated.tokens) {
      if (!token.text) return false;
      forward += *token.text;
      reverse.insert(0, *token.text);
    }
    if (generated.tokens.size() < 3 || forward == reverse) return false;
    const auto log_likelihood = [&](const std::string& continuation) {
      const ScoredPrompt prompt = prompt_of(text + continuation);
      const PromptScores scores = server_.score(method_.form, prompt);
      return sum(scores, check(prompt, scores));
    };
    const double plausible = log_likelihood(forward), shuffled = log_likelihood(reverse);
    if (!(plausible > shuffled))
      refuse("what the server generates, {}, has the log-likelihood {:.4g}, and the same in reverse {:.4g}",
             quote(forward), plausible, shuffled);
    return true;
  }

  const Tokenizer* tokenizer_;
  const ProbedServer& server_;
  ScoringMethod method_;
};

}  // namespace

std::span<const char* const> probe_texts() { return texts; }

ScoringMethod find_scoring_method(std::span<const ScoringForm> forms, const Tokenizer* tokenizer,
                                  const ProbedServer& server) {
  std::string why_tokens, why_text;  // not
  for (const bool sends_tokens : {true, false}) {
    if (sends_tokens && tokenizer == nullptr) continue;
    std::string& why = sends_tokens ? why_tokens : why_text;
    for (const ScoringForm form : forms) try {
        return Probe(tokenizer, server, {.form = form, .sends_tokens = sends_tokens, .why_text = why_tokens}).run();
      } catch (const CannotScore& reason) {
        if (why.empty()) why = reason.what();
      }
  }
  throw CannotScore(why_text);
}

}  // namespace batchscope
