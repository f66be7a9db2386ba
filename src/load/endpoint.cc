// Requests in OpenAI's form (load/endpoint.h).
#include "load/endpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace batchscope::load {

std::string Endpoint::target(std::string_view of) const {
  const std::string base = url.target.substr(0, url.target.find('?'));
  return fmt::format("{}{}{}", base, base.ends_with('/') ? "" : "/", of);
}

std::string request_json(const Endpoint& endpoint, const Prompt& prompt, std::int64_t output_tokens) {
  nlohmann::json body{{"model", endpoint.model}, {"max_tokens", output_tokens}, {"temperature", 0}};
  if (endpoint.api == Api::chat)
    body["messages"] = {{{"role", "user"}, {"content", prompt.text}}};
  else if (prompt.tokens.empty())
    body["prompt"] = prompt.text;
  if (endpoint.streams) {
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
  }
  if (!endpoint.only_standard_fields) {
    body["ignore_eos"] = true;
    body["min_tokens"] = output_tokens;
    body["return_token_ids"] = true;
    if (endpoint.streams) body["stream_options"]["continuous_usage_stats"] = true;
  }
  body.update(endpoint.extra);
  std::string text = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  // Ids go in as text: as JSON values, thousands of them take longer than all of the rest.
  if (endpoint.api == Api::completions && !prompt.tokens.empty() && !body.contains("prompt")) {
    text.pop_back();
    text += fmt::format(",\"prompt\":[{}]}}", fmt::join(prompt.tokens, ","));
  }
  return text;
}

}  // namespace batchscope::load
