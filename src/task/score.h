// Scores of a multiple-choice task, item by item and in all; HELLASWAG as lm-evaluation-harness scores it
// (version 1.0).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "task/question.h"

namespace batchscope {

// One line of `--items`.
struct ItemScore {
  nlohmann::json id;  // as the task file has it
  std::int64_t gold = 0;
  std::vector<double> log_likelihoods;  // one a choice
  std::vector<std::int64_t> tokens;     // context, whole_0, whole_1, … (before any truncation); empty: not known
  bool truncated = false;
  std::int64_t prediction = 0;         // argmax of log-likelihood; ties: lowest index
  std::int64_t prediction_norm = 0;    // argmax of log-likelihood / code points of the choice
  std::int64_t prediction_bytes = 0;   // … / UTF-8 bytes
  std::optional<std::int64_t> prediction_tokens;  // … / tokens scored, where these are known
};
nlohmann::json to_json(const ItemScore& item);

struct Interval {
  double low = 0, high = 0;
};

struct TaskScores {
  std::int64_t items = 0;
  double acc = 0, acc_stderr = 0;  // stderr = sqrt(sum (x-m)^2 / (n-1)) / sqrt(n), NaN for one item; never of 0 items
  double acc_norm = 0, acc_norm_stderr = 0;
  Interval acc_norm_interval;  // Wilson, 95 %
  double acc_bytes = 0;
  std::optional<double> acc_tokens;
};

// What a task asks of an engine: one request a choice, in the order of the items, and the counts of tokens.
struct TaskRequests {
  std::vector<ScoreRequest> requests;
  bool is_tokenised = true;                       // false: of tokens nothing is known
  std::vector<std::vector<std::int64_t>> tokens;  // an item: context, whole_i …
  std::vector<bool> truncated;                    // an item
  TokenCounts counts;                             // requested and truncated
};

// One question's tokens, before any truncation; questions are independent, so that several threads may share them.
struct QuestionTokens {
  std::int64_t context = 0;                          // how many tokens the context has by itself
  std::vector<std::vector<std::int32_t>> sequences;  // context and choice, one a choice
};
// InputError names the question when a choice has nothing to score.
QuestionTokens tokenize_question(const Question& question, const Tokenizer& tokenizer);

// Tokenises, as lm-evaluation-harness does: all of it at once, split by count. `max_tokens` is the longest model input;
// longer ones lose tokens on the left.
TaskRequests make_requests(std::span<const Question> questions, const Tokenizer& tokenizer, std::int64_t max_tokens);

// The texts alone, for an engine that has a tokenizer of its own.
TaskRequests make_text_requests(std::span<const Question> questions);

std::vector<ItemScore> score_items(std::span<const Question> questions, const TaskRequests& requests,
                                   std::span<const double> log_likelihoods);
TaskScores summarize(std::span<const ItemScore> items);

}  // namespace batchscope
