// An OpenAI-compatible server as a client asks it for completions: where, in whose words, and with what in the request.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "http/client.h"
#include "http/url.h"

namespace batchscope::load {

enum class Api { completions, chat };

struct Endpoint {
  http::Url url{};  // of the API: http://localhost:8000/v1
  Api api = Api::completions;
  std::string model{};
  bool streams = true;
  // Without the fields that vLLM, SGLang and others know besides OpenAI's: ignore_eos, min_tokens, return_token_ids,
  // continuous usage.
  bool only_standard_fields = false;
  nlohmann::json extra = nlohmann::json::object();  // more fields for each request; replaces ours of the same name
  http::BearerToken token{};
  std::string authorities{};  // file of certificates in PEM; "": the system's

  std::string target(std::string_view of) const;  // "completions" -> "/v1/completions"
};

// What is asked: token ids where there are any, else the text. A chat has one message, of the user, and takes no ids.
struct Prompt {
  std::vector<std::int32_t> tokens{};
  std::string text{};
};

// The JSON of a request for `output_tokens` tokens, exactly where the server knows how.
std::string request_json(const Endpoint& endpoint, const Prompt& prompt, std::int64_t output_tokens);

}  // namespace batchscope::load
