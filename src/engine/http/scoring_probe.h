// Can a server score? Some ignore what they do not know and answer at chance, others shift log-probabilities by a
// token. So a few known-answer requests go before everything else, and what does not stand the test is refused with the
// reason.
#pragma once

#include <functional>
#include <span>
#include <stdexcept>
#include <string>

#include "engine/http/continuation.h"
#include "model/tokenizer.h"

namespace batchscope {

// Why a server cannot score: one line, without its name.
class CannotScore : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// How the probe asks. Both throw CannotScore where the server refuses the request, and are called from several threads.
struct ProbedServer {
  std::function<PromptScores(ScoringForm form, const ScoredPrompt& prompt)> score;
  // Some greedy tokens behind a text, with their log-probabilities.
  std::function<PromptScores(const std::string& text)> go_on;
};

// The first of `forms`, with tokens where there is a tokenizer and else with text, that stands this test:
// - as many log-probabilities come back as the prompt has tokens (one more if the generated one is listed, one less if
//   BOS is not); the first is null, all others are finite, none above 0, and they are not all equal; the tokens are
//   those that were sent and spell the prompt;
// - the sum is the same beside other requests, within 0.1 √n of n tokens: batches are rounded differently;
// - a token that the server has generated gets the same log-probability as part of a prompt, within 0.25;
// - the continuation that it generates greedily is more probable than the same tokens in reverse.
// CannotScore says what failed.
ScoringMethod find_scoring_method(std::span<const ScoringForm> forms, const Tokenizer* tokenizer,
                                  const ProbedServer& server);

// Texts that the probe asks about; good for warming a server up, too.
std::span<const char* const> probe_texts();

}  // namespace batchscope
