// Reading requests (openai/request.h).
#include "openai/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/json.h"

namespace batchscope::openai {
namespace {

using nlohmann::json;

constexpr std::string_view where = "request";
constexpr std::int64_t most_tokens = 1 << 30;
constexpr std::size_t most_stops = 16, longest_stop = 1024;
constexpr std::int32_t largest_id = (1 << 24) - 1;

[[noreturn]] void refuse(std::string_view field, const std::string& why) {
  throw Refusal(400, fmt::format("{}: {}", field, why), "", std::string(field));
}

// The fields that a request may have; each is taken by who reads it, and one that is left over is refused.
class Fields {
 public:
  explicit Fields(const JsonObject& body) : body_(body) {
    for (const auto& [key, value] : body.value().items())
      if (!value.is_null()) left_.insert(key);
  }

  const json* take(std::string_view key) {
    left_.erase(std::string(key));
    return body_.find(key);
  }
  bool boolean(std::string_view key, bool fallback) {
    take(key);
    return body_.boolean(key, fallback);
  }
  std::int64_t whole(std::string_view key, std::int64_t low, std::int64_t high, std::int64_t fallback) {
    take(key);
    return body_.integer(key, low, high, fallback);
  }
  double number(std::string_view key, double low, double high, double fallback) {
    const json* value = take(key);
    if (value == nullptr) return fallback;
    if (!value->is_number() || value->get<double>() < low || value->get<double>() > high)
      refuse(key, fmt::format("expected a number from {} to {}", low, high));
    return value->get<double>();
  }
  std::string text(std::string_view key) {
    take(key);
    return body_.text(key, "");
  }
  // What has no effect here, whatever it is.
  void pass_over(std::initializer_list<std::string_view> keys) {
    for (const std::string_view key : keys) left_.erase(std::string(key));
  }
  // What is not supported, unless it is as without it.
  void need_plain(std::string_view key, const std::vector<json>& plain) {
    const json* value = take(key);
    if (value != nullptr && std::find(plain.begin(), plain.end(), *value) == plain.end())
      refuse(key, "not supported by this server; leave it out");
  }
  void end() const {
    if (!left_.empty()) refuse(*left_.begin(), "this server does not know this field; leave it out");
  }

 private:
  const JsonObject& body_;
  std::set<std::string> left_;
};

// What the JSON is wrong in is the client's to hear.
template <class Read>
auto read(std::string_view body, const Read& use) {
  try {
    const json content = parse_json(body, where);
    const JsonObject object(content, std::string(where));
    Fields fields(object);
    auto made = use(fields);
    fields.end();
    return made;
  } catch (const InputError& error) {
    throw Refusal(400, error.what());
  }
}

std::vector<std::int32_t> parse_ids(std::string_view field, const json& values) {
  std::vector<std::int32_t> ids;
  for (const json& value : values) {
    if (!value.is_number_integer() || value < 0 || value > largest_id) refuse(field, "expected token ids");
    ids.push_back(value.get<std::int32_t>());
  }
  if (ids.empty()) refuse(field, "a prompt has no tokens");
  return ids;
}

std::vector<Prompt> parse_prompts(const json* value) {
  constexpr std::string_view field = "prompt";
  constexpr const char* expected = "expected a text, a list of texts, token ids, or a list of lists of them";
  if (value == nullptr) refuse(field, "it is missing");
  if (value->is_string()) return {{.text = value->get<std::string>()}};
  if (!value->is_array() || value->empty()) refuse(field, expected);
  if (value->front().is_number()) return {{.ids = parse_ids(field, *value)}};
  std::vector<Prompt> prompts;
  for (const json& each : *value) {
    if (each.is_string() && value->front().is_string())
      prompts.push_back({.text = each.get<std::string>()});
    else if (each.is_array() && value->front().is_array())
      prompts.push_back({.ids = parse_ids(field, each)});
    else
      refuse(field, expected);
  }
  return prompts;
}

std::vector<std::string> parse_stop(const json* value) {
  constexpr std::string_view field = "stop";
  if (value == nullptr) return {};
  const json list = value->is_array() ? *value : json::array({*value});
  if (list.size() > most_stops) refuse(field, fmt::format("at most {} texts", most_stops));
  std::vector<std::string> all;
  for (const json& each : list) {
    if (!each.is_string() || each.get_ref<const std::string&>().empty())
      refuse(field, "expected a text that is not empty, or a list of such");
    if (each.get_ref<const std::string&>().size() > longest_stop)
      refuse(field, fmt::format("a text is longer than {} bytes", longest_stop));
    all.push_back(each.get<std::string>());
  }
  return all;
}

void read_stream(Fields& fields, Question& question) {
  question.stream = fields.boolean("stream", false);
  const json* options = fields.take("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) refuse("stream_options", "expected an object");
  for (const auto& [key, value] : options->items()) {
    const bool is_wanted = value.is_boolean() && value.get<bool>();
    if (!value.is_boolean() && !value.is_null()) refuse("stream_options", fmt::format("{} is true or false", key));
    if (key == "include_usage")
      question.wants_usage = is_wanted;
    else if (key == "continuous_usage_stats")
      question.wants_usage_always = is_wanted;
    else if (key != "include_obfuscation" || is_wanted)
      refuse("stream_options", fmt::format("{} is not known", key));
  }
  if (question.stream) return;
  refuse("stream_options", "only with \"stream\": true");
}

// What completions and chats have in common.
void read_common(Fields& fields, Question& question) {
  question.model = fields.text("model");
  question.min_tokens = fields.whole("min_tokens", 0, most_tokens, 0);
  question.sampling.temperature = fields.number("temperature", 0, 100, 1);
  question.sampling.top_p = fields.number("top_p", 0, 1, 1);
  if (question.sampling.top_p == 0) refuse("top_p", "expected more than 0");
  question.has_seed = fields.take("seed") != nullptr;
  question.sampling.seed = static_cast<std::uint64_t>(
      fields.whole("seed", std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(), 0));
  question.n = fields.whole("n", 1, most_answers, 1);
  question.stop = parse_stop(fields.take("stop"));
  question.ignores_eos = fields.boolean("ignore_eos", false);
  question.returns_token_ids = fields.boolean("return_token_ids", false);
  read_stream(fields, question);
  fields.pass_over({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "request_id",
                    "priority", "cache_salt"});
  fields.need_plain("top_k", {0, -1});
  fields.need_plain("min_p", {0});
  fields.need_plain("presence_penalty", {0});
  fields.need_plain("frequency_penalty", {0});
  fields.need_plain("repetition_penalty", {1});
  fields.need_plain("length_penalty", {1});
  fields.need_plain("logit_bias", {json::object()});
  fields.need_plain("use_beam_search", {false});
  fields.need_plain("skip_special_tokens", {true});
  fields.need_plain("spaces_between_special_tokens", {true});
  fields.need_plain("include_stop_str_in_output", {false});
  fields.need_plain("stop_token_ids", {json::array()});
  fields.need_plain("prompt_logprobs", {});
  fields.need_plain("response_format", {json::object({{"type", "text"}})});
}

std::int64_t answers(const Question& question) {
  return (question.is_chat ? 1 : std::ssize(question.prompts)) * question.n;
}

Question checked(Question question) {
  if (answers(question) > most_answers) refuse("n", fmt::format("more than {} answers to one request", most_answers));
  if (question.max_tokens && question.min_tokens > *question.max_tokens) refuse("min_tokens", "more than max_tokens");
  return question;
}

std::optional<std::int64_t> read_max_tokens(Fields& fields, std::string_view key, std::int64_t least) {
  if (fields.take(key) == nullptr) return std::nullopt;
  return fields.whole(key, least, most_tokens, 0);
}

// A message's content is a text, nothing, or parts of which each is a text; templates get the text.
void make_plain(json& message) {
  constexpr std::string_view field = "messages";
  if (!message.is_object() || !message.contains("role") || !message["role"].is_string())
    refuse(field, "expected objects with \"role\" and \"content\"");
  json& content = message["content"];
  if (content.is_string()) return;
  if (content.is_null() && message["role"] == "assistant") {
    content = "";
    return;
  }
  if (!content.is_array()) refuse(field, "a message's content is a text, or a list of parts");
  std::string text;
  for (const json& part : content) {
    if (!part.is_object() || part.value("type", json()) != "text" || !part.value("text", json()).is_string())
      refuse(field, "only parts of type \"text\" are supported");
    text += part["text"].get<std::string>();
  }
  content = std::move(text);
}

}  // namespace

std::string to_json(const Refusal& refusal) {
  const auto or_null = [](const std::string& text) { return text.empty() ? json() : json(text); };
  const char* const type = refusal.status >= 500   ? "server_error"
                           : refusal.status == 429 ? "rate_limit_error"
                           : refusal.status == 401 ? "authentication_error"
                                                   : "invalid_request_error";
  const json error{
      {"message", refusal.what()}, {"type", type}, {"param", or_null(refusal.param)}, {"code", or_null(refusal.code)}};
  return json{{"error", error}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

Question parse_completion(std::string_view body) {
  return read(body, [](Fields& fields) {
    Question question;
    question.prompts = parse_prompts(fields.take("prompt"));
    question.max_tokens = read_max_tokens(fields, "max_tokens", 0).value_or(16);
    question.echo = fields.boolean("echo", false);
    question.adds_special_tokens = fields.boolean("add_special_tokens", true);
    if (fields.take("logprobs") != nullptr) {
      question.log_probabilities = fields.whole("logprobs", 0, 100, 0);
      if (*question.log_probabilities > 1) refuse("logprobs", "this server tells at most 1 most probable token");
    }
    read_common(fields, question);
    const json* best_of = fields.take("best_of");
    if (best_of != nullptr && *best_of != question.n) refuse("best_of", "only as many as n");
    fields.need_plain("suffix", {""});
    return checked(std::move(question));
  });
}

Question parse_chat(std::string_view body) {
  return read(body, [](Fields& fields) {
    Question question{.is_chat = true};
    const json* messages = fields.take("messages");
    if (messages == nullptr || !messages->is_array() || messages->empty())
      refuse("messages", "expected a list of messages");
    question.messages = *messages;
    for (json& message : question.messages) make_plain(message);
    if (const json* values = fields.take("chat_template_kwargs")) {
      if (!values->is_object()) refuse("chat_template_kwargs", "expected an object");
      question.template_values = *values;
    }
    question.add_generation_prompt = fields.boolean("add_generation_prompt", true);
    question.echo = false;
    fields.need_plain("echo", {false});
    question.adds_special_tokens = fields.boolean("add_special_tokens", false);
    const auto old_name = read_max_tokens(fields, "max_tokens", 1);
    const auto new_name = read_max_tokens(fields, "max_completion_tokens", 1);
    question.max_tokens = new_name ? new_name : old_name;
    const std::int64_t top = fields.whole("top_logprobs", 0, 20, 0);
    if (top > 1) refuse("top_logprobs", "this server tells at most 1 most probable token");
    if (fields.boolean("logprobs", false))
      question.log_probabilities = top;
    else if (top > 0)
      refuse("top_logprobs", "only with \"logprobs\": true");
    read_common(fields, question);
    fields.pass_over({"reasoning_effort", "verbosity", "parallel_tool_calls"});
    fields.need_plain("tools", {json::array()});
    fields.need_plain("tool_choice", {"none", "auto"});
    fields.need_plain("functions", {json::array()});
    fields.need_plain("function_call", {"none", "auto"});
    fields.need_plain("modalities", {json::array({"text"})});
    fields.need_plain("continue_final_message", {false});
    return checked(std::move(question));
  });
}

Question parse_tokenize(std::string_view body) {
  return read(body, [](Fields& fields) {
    Question question;
    question.model = fields.text("model");
    const json* prompt = fields.take("prompt");
    if (prompt == nullptr || !prompt->is_string()) refuse("prompt", "expected a text");
    question.prompts = {{.text = prompt->get<std::string>()}};
    question.adds_special_tokens = fields.boolean("add_special_tokens", true);
    return question;
  });
}

std::vector<std::int32_t> parse_detokenize(std::string_view body) {
  return read(body, [](Fields& fields) {
    fields.pass_over({"model"});
    const json* tokens = fields.take("tokens");
    if (tokens == nullptr || !tokens->is_array()) refuse("tokens", "expected token ids");
    return tokens->empty() ? std::vector<std::int32_t>() : parse_ids("tokens", *tokens);
  });
}

}  // namespace batchscope::openai
