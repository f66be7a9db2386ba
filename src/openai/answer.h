// Answers as they grow, token by token, and their JSON: OpenAI's, with what vLLM added (token ids, usage in each
// chunk).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/requests.h"
#include "model/text_stream.h"
#include "openai/request.h"

namespace batchscope::openai {

struct LogProbability {
  std::int32_t token = 0;
  std::optional<double> own{};  // absent: of a prompt's first token, which nothing comes before
  std::int32_t top_token = 0;   // the most probable one in its place
  double top = 0;
};

// The text up to where one of the stop texts begins; what may become one is held back.
class StopScanner {
 public:
  explicit StopScanner(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  // What may be shown of a text that goes on with `piece`.
  std::string add(std::string_view piece);
  std::string finish();  // what was held back
  bool has_stopped() const { return has_stopped_; }

 private:
  const std::vector<std::string> stops_;
  std::string held_;
  bool has_stopped_ = false;
};

// One answer to one prompt.
class Choice {
 public:
  // All but the request outlive it.
  Choice(const Question& question, const GenerateRequest& request, std::int64_t index, const Tokenizer& tokenizer,
         std::span<const std::int32_t> eos);

  // The prompt's log-probabilities, one a token, the first without one.
  void score_prompt(std::vector<LogProbability> all);
  // The next token. What is new of the text is piece().
  void add(const LogProbability& token);
  bool is_finished() const { return !finish_reason_.empty(); }
  const std::string& finish_reason() const { return finish_reason_; }
  // It is finished by its text, of which the engine knows nothing.
  bool has_stopped() const { return scanner_.has_stopped(); }

  std::int64_t index() const { return index_; }
  std::int64_t prompt_tokens() const { return std::ssize(prompt_); }
  std::int64_t completion_tokens() const { return is_scored_only_ ? 0 : std::ssize(tokens_); }

  // The whole, and what is new since the last piece, as members of "choices".
  nlohmann::json whole() const;
  nlohmann::json piece();

 private:
  bool ends_with(std::int32_t token) const;
  // What `token` adds to the text in the place of log_probabilities_[i].
  std::string token_text(std::size_t i, std::int32_t token) const;
  nlohmann::json log_probabilities(std::size_t begin) const;
  nlohmann::json finish() const;

  const Question& question_;
  const std::vector<std::int32_t> prompt_;
  GenerateRequest request_;  // without its prompt
  const std::int64_t index_;
  const bool is_scored_only_;  // max_tokens 0: the token that the engine made is not wanted
  const Tokenizer& tokenizer_;
  std::span<const std::int32_t> eos_;
  TextStream stream_;
  StopScanner scanner_;
  std::string text_;
  std::vector<std::int32_t> tokens_;
  std::vector<LogProbability> log_probabilities_;  // of the echoed prompt, then of tokens_
  std::vector<std::size_t> offsets_;               // of each of these in the text, in characters
  std::size_t begin_of_text_ = 0;                  // of these, those before this one have no text before them
  std::optional<std::int32_t> letter_;             // a token that any other may follow in a text, and its text
  std::string letter_text_;
  std::string finish_reason_;
  std::size_t shown_text_ = 0, shown_tokens_ = 0, shown_log_probabilities_ = 0;  // in pieces
};

nlohmann::json usage_json(std::int64_t prompt_tokens, std::int64_t completion_tokens);
std::string event(const nlohmann::json& data);  // of a stream: "data: …"
inline constexpr std::string_view last_event = "data: [DONE]\n\n";
// JSON as it goes out: bytes that are no UTF-8 replaced.
std::string dumped(const nlohmann::json& value);

}  // namespace batchscope::openai
