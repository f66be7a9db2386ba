// What a client asks for, out of the body of its request: the fields of OpenAI's API
// (https://platform.openai.com/docs/api-reference/completions) and those that vLLM added and clients use. A field that
// would change the answer and is not supported is refused, never passed over.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "engine/requests.h"

namespace batchscope::openai {

// What is told instead of an answer: {"error": {"message", "type", "param", "code"}}.
struct Refusal : std::runtime_error {
  Refusal(int http_status, const std::string& message, std::string error_code = {}, std::string field = {})
      : std::runtime_error(message), status(http_status), code(std::move(error_code)), param(std::move(field)) {}
  int status;
  std::string code, param;  // "": null
};
std::string to_json(const Refusal& refusal);

struct Prompt {
  std::string text{};
  std::vector<std::int32_t> ids{};  // not empty: instead of the text
};

struct Question {
  bool is_chat = false;
  std::string model{};               // "": any
  std::vector<Prompt> prompts{};     // of completions
  nlohmann::json messages{};         // of a chat: a list of objects
  nlohmann::json template_values{};  // chat_template_kwargs: an object, or null
  bool add_generation_prompt = true;
  std::optional<std::int64_t> max_tokens{};  // absent: 16; of a chat: as many as there is room for
  std::int64_t min_tokens = 0;
  Sampling sampling{.temperature = 1};
  bool has_seed = false;
  std::int64_t n = 1;  // answers to each prompt
  std::vector<std::string> stop{};
  bool ignores_eos = false;
  bool adds_special_tokens = true;  // to prompts that are texts
  bool echo = false;
  std::optional<std::int64_t> log_probabilities{};  // of each token, and of so many most probable ones: 0 or 1
  bool stream = false;
  bool wants_usage = false;         // a last chunk with it
  bool wants_usage_always = false;  // each chunk has it
  bool returns_token_ids = false;
};

inline constexpr std::int64_t most_answers = 128;  // to one request

// Refusal for a body that is none.
Question parse_completion(std::string_view body);
Question parse_chat(std::string_view body);

// Of /tokenize: {"prompt", "add_special_tokens"}; of /detokenize: {"tokens"}.
Question parse_tokenize(std::string_view body);
std::vector<std::int32_t> parse_detokenize(std::string_view body);

}  // namespace batchscope::openai
