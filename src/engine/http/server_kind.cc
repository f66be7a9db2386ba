// Kinds of servers, and the signs by which they are known (engine/http/server_kind.h).
#include "engine/http/server_kind.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/json.h"
#include "engine/http/server_client.h"

namespace batchscope {
namespace {

constexpr const char* models_page = "/v1/models";
constexpr std::array other_pages{"/version", "/get_model_info", "/get_server_info", "/props", "/info", "/openapi.json"};
constexpr std::size_t longest_version = 100, most_models = 1000;

using enum ScoringForm;

const ServerKind sglang{
    .name = "SGLang", .forms = {generate, echo}, .flush = "/flush_cache", .hits = {"sglang:cached_tokens_total"}};
const ServerKind vllm{
    .name = "vLLM",
    .forms = {prompt_logprobs, echo},
    .salts_cache = true,
    .flush = "/reset_prefix_cache",
    .hits = {"vllm:prefix_cache_hits_total", "vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits_total"}};
const ServerKind llama_cpp_python{
    .name = "llama-cpp-python",
    .forms = {echo},
    .gap = "llama-cpp-python scores prompts right only where the model's tokenizer puts BOS in front of them"};
const ServerKind llama_server{.name = "llama.cpp server",
                              .forms = {echo},
                              .gap = "llama.cpp's server gives log-probabilities of generated tokens only"};
const ServerKind text_generation_inference{
    .name = "TGI", .forms = {echo}, .gap = "its API for completions gives log-probabilities of generated tokens only"};
const ServerKind transformers_serve{
    .name = "transformers serve", .forms = {echo}, .gap = "transformers serve knows neither echo nor logprobs"};
const ServerKind lmdeploy{.name = "LMDeploy", .forms = {echo}, .gap = "LMDeploy reads echo and does nothing with it"};
const ServerKind tensorrt_llm{
    .name = "TensorRT-LLM", .forms = {echo}, .gap = "trtllm-serve gives log-probabilities of generated tokens only"};
const ServerKind our_server{.name = "batchscope", .forms = {echo}};
const ServerKind unknown{.name = "OpenAI-compatible server", .forms = {echo, prompt_logprobs}};

struct Owner {
  std::string_view word;  // how `owned_by` of a model begins
  const ServerKind* kind;
};
const std::array owners{
    Owner{"vllm", &vllm},         Owner{"sglang", &sglang},         Owner{"llamacpp", &llama_server},
    Owner{"lmdeploy", &lmdeploy}, Owner{"tensorrt", &tensorrt_llm}, Owner{"batchscope", &our_server}};

// The JSON of a page; null where there is none.
nlohmann::json json_of(const ServerPages& pages, std::string_view path) {
  const auto found = pages.find(path);
  if (found == pages.end() || found->second.status != 200) return nullptr;
  try {
    return parse_json(found->second.body, path);
  } catch (const InputError&) {
    return nullptr;
  }
}

// The text at a key of an object; "" for anything else.
std::string text_at(const nlohmann::json& json, const char* key) {
  if (!json.is_object() || !json.contains(key) || !json.at(key).is_string()) return "";
  return visible(json.at(key).get<std::string>());
}

const nlohmann::json& part(const nlohmann::json& json, const char* key) {
  static const nlohmann::json none;
  return json.is_object() && json.contains(key) ? json.at(key) : none;
}

bool server_begins_with(const ServerPages& pages, std::string_view word) {
  return std::any_of(pages.begin(), pages.end(),
                     [&](const auto& page) { return page.second.server.starts_with(word); });
}

const ServerKind* owner_of(const nlohmann::json& models) {
  if (!models.is_array() || models.empty()) return nullptr;
  const std::string owner = text_at(models.front(), "owned_by");
  const auto found =
      std::find_if(owners.begin(), owners.end(), [&](const Owner& known) { return owner.starts_with(known.word); });
  return found == owners.end() ? nullptr : found->kind;
}

// By the surest sign first.
const ServerKind& kind_of(const ServerPages& pages) {
  if (!text_at(json_of(pages, "/get_model_info"), "model_path").empty()) return sglang;
  if (server_begins_with(pages, "llama.cpp")) return llama_server;
  if (server_begins_with(pages, "batchscope")) return our_server;
  if (const ServerKind* owner = owner_of(part(json_of(pages, models_page), "data"))) return *owner;
  const nlohmann::json description = json_of(pages, "/openapi.json");
  const std::string title = text_at(part(description, "info"), "title");
  if (title.find("llama.cpp Python") != std::string::npos) return llama_cpp_python;
  if (title.find("Text Generation Inference") != std::string::npos) return text_generation_inference;
  const nlohmann::json& paths = part(description, "paths");
  if (paths.is_object() && paths.contains("/load_model") && paths.contains("/v1/responses")) return transformers_serve;
  if (json_of(pages, "/info").contains("max_concurrent_requests")) return text_generation_inference;
  if (json_of(pages, "/props").contains("default_generation_settings")) return llama_server;
  return unknown;
}

std::string version_of(const ServerKind& kind, const ServerPages& pages) {
  if (&kind == &sglang) return text_at(json_of(pages, "/get_server_info"), "version");
  if (&kind == &llama_server) return text_at(json_of(pages, "/props"), "build_info");
  if (&kind == &llama_cpp_python) return text_at(part(json_of(pages, "/openapi.json"), "info"), "version");
  const std::string version = text_at(json_of(pages, "/version"), "version");
  return version.empty() ? text_at(json_of(pages, "/info"), "version") : version;
}

}  // namespace

std::string RecognisedServer::name() const {
  return version.empty() ? std::string(kind->name) : fmt::format("{} {}", kind->name, version);
}

ServerPages read_server_pages(ServerClient& client) {
  ServerPages pages;
  const auto read = [&](const char* path, const ServerAnswer& answer) {
    if (answer.transfer.fault != http::Fault::none) throw Failure("the server {}", answer.failure());
    const int status = answer.transfer.response.status;
    if (path == models_page && (status == 401 || status == 403))
      throw InputError("the server denies access ({}); name its token with --token-file or --token-variable",
                       answer.explained_failure());
    pages[path] = {status, std::string(answer.transfer.response.headers.find("Server").value_or("")), answer.body};
  };
  read(models_page, client.get("/models", ServerClient::Of::api));
  for (const char* path : other_pages) read(path, client.get(path));
  return pages;
}

RecognisedServer recognise(const ServerPages& pages) {
  RecognisedServer server{.kind = &kind_of(pages)};
  server.version = version_of(*server.kind, pages).substr(0, longest_version);
  const nlohmann::json models = json_of(pages, models_page);
  if (const nlohmann::json& data = part(models, "data"); data.is_array())
    for (const auto& model : data)
      if (model.is_object() && model.contains("id") && model.at("id").is_string() && server.models.size() < most_models)
        server.models.push_back(model.at("id").get<std::string>());
  return server;
}

}  // namespace batchscope
