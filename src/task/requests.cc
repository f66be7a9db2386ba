// From questions to the sequences that an engine scores (make_requests of task/score.h).
#include <algorithm>
#include <future>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/cpus.h"
#include "base/error.h"
#include "base/json.h"
#include "task/hellaswag.h"
#include "task/score.h"

namespace batchscope {

// Context and continuation are split by count, never encoded apart: the last token of the context may differ with what
// follows it.
QuestionTokens tokenize_question(const Question& question, const Tokenizer& tokenizer) {
  const std::size_t space = trailing_space(question.context);
  const std::string context = question.context.substr(0, question.context.size() - space);
  const std::string start = question.context + question.delimiter;  // the space moves into the continuation
  QuestionTokens tokens;
  tokens.context = static_cast<std::int64_t>(tokenizer.encode(context).size());
  for (const std::string& choice : question.choices) {
    tokens.sequences.push_back(tokenizer.encode(start + choice));
    const auto length = static_cast<std::int64_t>(tokens.sequences.back().size());
    if (length <= tokens.context)
      throw InputError("question {}: choice {} {} adds no token to its context; nothing can be scored",
                       question.id.dump(), tokens.sequences.size() - 1, quote(choice));
    if (tokens.context == 0)
      throw InputError("question {}: its context has no token, so the first of a choice cannot be scored; give it one",
                       question.id.dump());
  }
  return tokens;
}

namespace {

// All questions, shared by as many threads as there are CPUs to use; of several errors the first question's is thrown.
std::vector<QuestionTokens> tokenize_questions(std::span<const Question> questions, const Tokenizer& tokenizer) {
  constexpr std::size_t questions_a_thread = 64;  // fewer are not worth a thread
  std::vector<QuestionTokens> tokens(questions.size());
  const std::size_t threads =
      std::clamp<std::size_t>(questions.size() / questions_a_thread, 1, static_cast<std::size_t>(usable_cpus()));
  std::vector<std::future<void>> parts;
  for (std::size_t part = 0; part < threads; ++part) {
    const std::size_t begin = questions.size() * part / threads, end = questions.size() * (part + 1) / threads;
    parts.push_back(std::async(threads > 1 ? std::launch::async : std::launch::deferred, [&, begin, end] {
      for (std::size_t i = begin; i < end; ++i) tokens[i] = tokenize_question(questions[i], tokenizer);
    }));
  }
  for (auto& part : parts) part.wait();
  for (auto& part : parts) part.get();
  return tokens;
}

}  // namespace

TaskRequests make_requests(std::span<const Question> questions, const Tokenizer& tokenizer, std::int64_t max_tokens) {
  CHECK_THAT(max_tokens >= 1, "a model input has at least one token, not {}", max_tokens);
  TaskRequests task;
  for (QuestionTokens& tokens : tokenize_questions(questions, tokenizer)) {
    const auto group = static_cast<std::int64_t>(task.tokens.size());
    auto& lengths = task.tokens.emplace_back(1, tokens.context);
    bool truncated = false;
    for (auto& sequence : tokens.sequences) {
      const auto length = static_cast<std::int64_t>(sequence.size());
      const std::int64_t cut = std::max<std::int64_t>(length - (max_tokens + 1), 0);
      lengths.push_back(length);
      task.counts.requested += length - 1;
      task.counts.truncated += cut;
      truncated = truncated || cut > 0;
      sequence.erase(sequence.begin(), sequence.begin() + cut);
      // Tokens whose predecessors were all cut away cannot be scored.
      const std::int64_t scored = std::min(length - tokens.context, length - cut - 1);
      task.requests.push_back({.group = group, .tokens = std::move(sequence), .scored = scored});
    }
    task.truncated.push_back(truncated);
  }
  return task;
}

}  // namespace batchscope
