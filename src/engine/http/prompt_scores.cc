// Bodies of requests and answers of servers (engine/http/prompt_scores.h).
#include "engine/http/prompt_scores.h"

#include <limits>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"

namespace batchscope {
namespace {

constexpr const char* origin = "the server's answer";
constexpr std::int64_t most = 1'000'000'000;
constexpr std::int64_t most_ids = std::numeric_limits<std::int32_t>::max();

// Python writes -Infinity, which parse_json() hands out as a text.
std::optional<double> log_probability(const JsonObject& parent, const char* key, const nlohmann::json& value) {
  if (value.is_null()) return std::nullopt;
  if (value.is_number()) return value.get<double>();
  if (value == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (value == "NaN") return std::numeric_limits<double>::quiet_NaN();
  parent.refuse(key, "log-probabilities");
}

const nlohmann::json* array(const JsonObject& object, const char* key) {
  const nlohmann::json* found = object.find(key);
  if (found != nullptr && !found->is_array()) object.refuse(key, "an array");
  return found;
}

std::optional<std::int64_t> count(const JsonObject& object, const char* key) {
  return object.has(key) ? std::optional(object.integer(key, 0, most)) : std::nullopt;
}

void read_usage(const JsonObject& answer, PromptScores& scores) {
  if (!answer.has("usage")) return;
  const JsonObject usage = answer.object("usage");
  scores.prompt_tokens = count(usage, "prompt_tokens");
  scores.completion_tokens = count(usage, "completion_tokens");
  if (usage.has("prompt_tokens_details"))
    scores.cached_tokens = count(usage.object("prompt_tokens_details"), "cached_tokens");
}

// {"tokens": […], "token_logprobs": [null, …]}
void read_legacy(const JsonObject& logprobs, PromptScores& scores) {
  const nlohmann::json* values = array(logprobs, "token_logprobs");
  if (values == nullptr) return;
  const nlohmann::json* texts = array(logprobs, "tokens");
  for (std::size_t i = 0; i < values->size(); ++i) {
    ScoredToken& token = scores.tokens.emplace_back();
    token.log_probability = log_probability(logprobs, "token_logprobs", (*values)[i]);
    if (texts != nullptr && i < texts->size() && (*texts)[i].is_string()) token.text = (*texts)[i].get<std::string>();
  }
}

// {"content": [{"token": "x", "logprob": -1}, …]}, as chat completions have it and llama.cpp's server everywhere.
void read_content(const JsonObject& logprobs, PromptScores& scores) {
  const nlohmann::json* content = array(logprobs, "content");
  if (content == nullptr) return;
  for (const auto& each : *content) {
    const JsonObject entry(each, origin, "logprobs.content.");
    ScoredToken& token = scores.tokens.emplace_back();
    if (const nlohmann::json* value = entry.find("logprob"))
      token.log_probability = log_probability(entry, "logprob", *value);
    if (entry.has("token")) token.text = entry.text("token");
  }
}

// [null, {"450": {"logprob": -1, "rank": 3, "decoded_token": " The"}}, …]: of the prompt's own token, nothing else was
// asked for.
void read_prompt_logprobs(const JsonObject& choice, PromptScores& scores) {
  const nlohmann::json* all = array(choice, "prompt_logprobs");
  if (all == nullptr) return;
  for (const auto& each : *all) {
    ScoredToken& token = scores.tokens.emplace_back();
    if (each.is_null()) continue;
    if (!each.is_object() || each.size() != 1) choice.refuse("prompt_logprobs", "one token at each place");
    const JsonObject entry(each.begin().value(), origin, "prompt_logprobs.");
    token.id =
        static_cast<std::int32_t>(parse_integer(each.begin().key(), 0, most_ids, "the server's answer: a token"));
    if (const nlohmann::json* value = entry.find("logprob"))
      token.log_probability = log_probability(entry, "logprob", *value);
    if (entry.has("decoded_token")) token.text = entry.text("decoded_token");
  }
}

void read_completion(ScoringForm form, const JsonObject& answer, PromptScores& scores) {
  read_usage(answer, scores);
  const nlohmann::json* choices = array(answer, "choices");
  if (choices == nullptr || choices->empty()) answer.refuse("choices", "an array with a choice");
  const JsonObject choice(choices->front(), origin, "choices.");
  if (form == ScoringForm::prompt_logprobs) return read_prompt_logprobs(choice, scores);
  if (!choice.has("logprobs")) return;
  const JsonObject logprobs = choice.object("logprobs");
  logprobs.has("content") ? read_content(logprobs, scores) : read_legacy(logprobs, scores);
}

// {"meta_info": {"input_token_logprobs": [[null, 1, "<s>"], [-1.2, 450, " The"], …], "prompt_tokens": 2}}
void read_generate(const JsonObject& answer, PromptScores& scores) {
  const JsonObject info = answer.object("meta_info");
  scores.prompt_tokens = count(info, "prompt_tokens");
  scores.completion_tokens = count(info, "completion_tokens");
  scores.cached_tokens = count(info, "cached_tokens");
  const nlohmann::json* all = array(info, "input_token_logprobs");
  if (all == nullptr) return;
  for (const auto& each : *all) {
    if (!each.is_array() || each.size() < 2 || !each[1].is_number_integer())
      info.refuse("input_token_logprobs", "[log-probability, token, text] at each place");
    ScoredToken& token = scores.tokens.emplace_back();
    token.log_probability = log_probability(info, "input_token_logprobs", each[0]);
    const auto id = each[1].get<std::int64_t>();
    if (id < 0 || id > most_ids) info.refuse("input_token_logprobs", "token ids");
    token.id = static_cast<std::int32_t>(id);
    if (each.size() > 2 && each[2].is_string()) token.text = each[2].get<std::string>();
  }
}

}  // namespace

std::string_view words_of(ScoringForm form) {
  switch (form) {
    case ScoringForm::echo:
      return "echo with logprobs";
    case ScoringForm::prompt_logprobs:
      return "prompt_logprobs";
    case ScoringForm::generate:
      return "/generate with return_logprob";
  }
  return "";
}

bool is_of_completions(ScoringForm form) { return form != ScoringForm::generate; }

nlohmann::json scoring_body(ScoringForm form, const ScoredPrompt& prompt, const std::string& model,
                            const std::string& salt) {
  nlohmann::json body;
  const bool has_tokens = !prompt.tokens.empty();
  const nlohmann::json asked = has_tokens ? nlohmann::json(prompt.tokens) : nlohmann::json(prompt.text);
  if (form == ScoringForm::generate) {
    body[has_tokens ? "input_ids" : "text"] = asked;
    body["sampling_params"] = {{"max_new_tokens", 1}, {"temperature", 0}};
    body["return_logprob"] = true;
    body["logprob_start_len"] = 0;
    body["return_text_in_logprobs"] = true;
    return body;
  }
  body = {{"prompt", asked}, {"max_tokens", 1}, {"temperature", 0}};
  if (form == ScoringForm::echo) {
    body["echo"] = true;
    body["logprobs"] = 1;  // SGLang takes 0 for none
  } else {
    body["prompt_logprobs"] = 0;  // of the prompt's tokens alone
  }
  if (!model.empty()) body["model"] = model;
  if (!salt.empty()) body["cache_salt"] = salt;
  return body;
}

nlohmann::json continuation_body(const std::string& text, std::int64_t tokens, const std::string& model) {
  nlohmann::json body = {{"prompt", text}, {"max_tokens", tokens}, {"temperature", 0}, {"logprobs", 1}};
  if (!model.empty()) body["model"] = model;
  return body;
}

PromptScores read_prompt_scores(ScoringForm form, std::string_view text) {
  const nlohmann::json json = parse_json(text, origin);
  const JsonObject answer(json, origin);
  PromptScores scores;
  form == ScoringForm::generate ? read_generate(answer, scores) : read_completion(form, answer, scores);
  return scores;
}

}  // namespace batchscope
