// What is asked of an engine: sequences to score, prompts to continue. A request carries the text of its task, and the
// tokens where our tokenizer made them; an engine reads the one that it takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace batchscope {

// One sequence whose end is scored: the log-likelihood of the last `scored` tokens given all before them, or of
// `continuation` given `context`.
struct ScoreRequest {
  std::int64_t group = 0;                 // requests of one question; packing may keep them together
  std::vector<std::int32_t> tokens = {};  // the whole sequence; the model reads all but the last; empty: not tokenised
  std::int64_t scored = 0;                // 1 <= scored < tokens.size(), where there are tokens
  // As they stand one behind the other; both empty where tokens were drawn. White space between them belongs to the
  // continuation, as lm-evaluation-harness has it.
  std::string context = {}, continuation = {};
};

// How the next token is chosen: the most probable one at temperature 0; else drawn from softmax(logits / temperature),
// cut to the most probable tokens that together have `top_p` (nucleus sampling: Holtzman et al. 2020).
struct Sampling {
  double temperature = 0;
  double top_p = 1;
  std::uint64_t seed = 0;      // equal seeds draw equal tokens, whatever the layout …
  std::uint64_t sequence = 0;  // … for equal ones of the sequences that share a seed
  bool operator==(const Sampling&) const = default;
};

struct GenerateRequest {
  std::vector<std::int32_t> prompt;  // at least one token
  std::int64_t new_tokens = 0;       // at most
  Nanoseconds arrival{0};            // since the start of the run; not served earlier
  std::int64_t min_new_tokens = 0;   // an end-of-sequence token before these does not end it
  bool stop_at_eos = true;           // false: new_tokens are generated, whatever they are
  bool log_probabilities = false;         // of each generated token, and of the most probable one in its place
  bool prompt_log_probabilities = false;  // of the prompt's tokens but the first, given those before; needs the other, too
  Sampling sampling = {};
  bool operator==(const GenerateRequest&) const = default;
};

}  // namespace batchscope
