// From questions to the sequences that an engine scores (make_requests of task/score.h).
#include <algorithm>
#include <future>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/cpus.h"
#include "base/error.h"
#include "base/json.h"
#include "task/hellaswag.h"
#include "task/score.h"

namespace batchscope {

// Tokens that nobody has chosen: the same for the same question, and alike for all its choices as far as the context
// goes.
QuestionTokens draw_tokens(const Question& question, std::int64_t vocabulary) {
  const auto draw = [&](std::mt19937_64& random, std::int64_t count, std::vector<std::int32_t>& tokens) {
    for (std::int64_t i = 0; i < count; ++i)
      tokens.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(vocabulary)));
  };
  const std::string id = question.id.dump();
  std::seed_seq seed(id.begin(), id.end());
  std::mt19937_64 random(seed);
  QuestionTokens tokens;
  tokens.context = question.lengths.front();
  std::vector<std::int32_t> context;
  draw(random, tokens.context, context);
  for (std::size_t choice = 1; choice < question.lengths.size(); ++choice) {
    auto& sequence = tokens.sequences.emplace_back(context);
    draw(random, question.lengths[choice] - tokens.context, sequence);
  }
  return tokens;
}

namespace {

// A question's texts as a model reads them: white space behind the context moves into the continuation.
struct Parts {
  std::string context, start;  // `start` of each choice's continuation
};
Parts parts_of(const Question& question) {
  const std::size_t kept = question.context.size() - trailing_space(question.context);
  return {question.context.substr(0, kept), question.context.substr(kept) + question.delimiter};
}

}  // namespace

// Context and continuation are split by count, never encoded apart: the last token of the context may differ with what
// follows it.
QuestionTokens tokenize_question(const Question& question, const Tokenizer& tokenizer) {
  if (!question.lengths.empty()) return draw_tokens(question, tokenizer.vocabulary());
  const auto [context, start] = parts_of(question);
  QuestionTokens tokens;
  tokens.context = static_cast<std::int64_t>(tokenizer.encode(context).size());
  const auto prefix = tokens.context == 0 ? tokenizer.prefix() : std::nullopt;  // as lm-evaluation-harness does
  if (prefix) tokens.context = 1;
  for (const std::string& choice : question.choices) {
    auto& sequence = tokens.sequences.emplace_back(tokenizer.encode(context + start + choice));
    if (prefix && (sequence.empty() || sequence.front() != *prefix)) sequence.insert(sequence.begin(), *prefix);
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

TaskRequests make_text_requests(std::span<const Question> questions) {
  TaskRequests task{.requests = {}, .is_tokenised = false, .tokens = {}, .truncated = {}, .counts = {}};
  for (const Question& question : questions) {
    const auto [context, start] = parts_of(question);
    const auto group = static_cast<std::int64_t>(task.tokens.size());
    for (const std::string& choice : question.choices) {
      ScoreRequest& request = task.requests.emplace_back();
      request.group = group;
      if (!question.lengths.empty()) continue;  // its tokens are drawn: there is no text
      request.context = context;
      request.continuation = start + choice;
    }
    task.tokens.emplace_back();
    task.truncated.push_back(false);
  }
  return task;
}

TaskRequests make_requests(std::span<const Question> questions, const Tokenizer& tokenizer, std::int64_t max_tokens) {
  CHECK_THAT(max_tokens >= 1, "a model input has at least one token, not {}", max_tokens);
  TaskRequests task = make_text_requests(questions);
  task.is_tokenised = true;
  std::size_t next = 0, group = 0;
  for (QuestionTokens& tokens : tokenize_questions(questions, tokenizer)) {
    auto& lengths = task.tokens[group];
    lengths.push_back(tokens.context);
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
      ScoreRequest& request = task.requests[next++];
      request.tokens = std::move(sequence);
      request.scored = scored;
    }
    task.truncated[group++] = truncated;
  }
  return task;
}

}  // namespace batchscope
