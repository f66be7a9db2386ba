// Which of the log-probabilities that came back are those of the continuation, and their sum.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/http/prompt_scores.h"
#include "engine/requests.h"

namespace batchscope {

// How a server scores, as its probe found out (engine/http/scoring_probe.h).
struct ScoringMethod {
  ScoringForm form = ScoringForm::echo;
  bool sends_tokens = false;
  std::size_t unlisted = 0;      // first tokens of a prompt (BOS) that answers leave out
  bool lists_generated = false;  // behind the prompt's
  std::string why_text = {};     // why text is sent though there are tokens; "": they are sent, or there are none
};

// How many of the answer's first tokens are the prompt's. Failure where it cannot be an answer to this prompt: the
// server has cut it, or read other tokens.
std::size_t listed_tokens(const ScoringMethod& method, const ScoredPrompt& prompt, const PromptScores& scores);

struct ContinuationScore {
  double log_likelihood = 0;
  std::optional<std::int64_t> prompt_tokens;  // as the server has them
  bool is_drifted = false;                    // the server's tokens are not those of the request
  bool is_whole = false;                      // nothing was cut, as far as the answer shows
};

// By count where tokens are the request's own: its last `scored` ones, as lm-evaluation-harness has it. Else by the
// text: the tokens that begin in the continuation. Failure where the answer does not tell.
ContinuationScore score_continuation(const ScoringMethod& method, const ScoreRequest& request,
                                     const PromptScores& scores);

// What is left of a text of tokens without white space, what stands for it in vocabularies, and parts of characters.
std::string letters_of(std::string_view text);

}  // namespace batchscope
