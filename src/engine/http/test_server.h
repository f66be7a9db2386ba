// The tests' server: answers as servers of each kind do, with probabilities of a made-up model over the embedded
// model's tokens; and wrongly in every way that servers do.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/json.h"
#include "engine/requests.h"
#include "http/server.h"
#include "model/model.h"

namespace batchscope {

inline ModelSource played_model() { return {.path = embedded_file("models/tiny").string()}; }

// Each token depends on the one before it alone.
class PlayedModel {
 public:
  PlayedModel() : tokenizer_(open_tokenizer(played_model(), read_config(played_model()))) {
    for (const char* word : {"the", "is", "lamp", "school", "now", "bag", "and", "in", "at", "forest", "cellar"})
      if (const auto tokens = encode(word); tokens.size() == 2) words_.push_back(tokens[1]);
  }

  // BOS in front.
  std::vector<std::int32_t> encode(const std::string& text) const { return tokenizer_->encode(text); }
  std::string text_of(std::int32_t id) const {
    if (id == bos()) return "<s>";
    const std::int32_t before = words_.front();
    const std::string pair = tokenizer_->decode(std::vector{before, id});
    return pair.substr(tokenizer_->decode(std::vector{before}).size());
  }
  std::int32_t bos() const { return encode("the").front(); }
  // A token of white space alone.
  std::int32_t space() const {
    std::int32_t id = bos() + 1;
    while (text_of(id).empty() || text_of(id).find_first_not_of(' ') != std::string::npos) ++id;
    return id;
  }
  std::int32_t most_probable(std::int32_t before) const {
    return words_[static_cast<std::size_t>(before) * 7919 % words_.size()];
  }
  double log_probability(std::int32_t before, std::int32_t id) const {
    return id == most_probable(before) ? -0.2 : -2 - static_cast<double>((before * 31 + id * 17) % 1000) / 500;
  }
  double log_likelihood(const ScoreRequest& request) const {
    double sum = 0;
    for (std::size_t i = request.tokens.size() - static_cast<std::size_t>(request.scored); i < request.tokens.size();
         ++i)
      sum += log_probability(request.tokens[i - 1], request.tokens[i]);
    return sum;
  }

 private:
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<std::int32_t> words_;
};

class PlayedModelServer {
 public:
  enum class Kind { vllm, sglang, llama_cpp_python, llama_server, transformers, batchscope, nameless };
  enum class Wrong {
    nothing,
    ignores_echo,
    chance,
    cuts_prompts,
    shifts,
    unsteady,
    other_tokens,
    other_split,
    first_value
  };

  explicit PlayedModelServer(Kind kind, Wrong wrong = Wrong::nothing) : kind_(kind), wrong_(wrong) {
    http::ServerOptions options;
    options.takes_posts = true;
    options.request.body_bytes = 1 << 20;
    server_.emplace(
        options, "test", [this](const http::Request& request) { return answer(request); },
        http::Server::Observer{.answered = [](std::string_view, int) {}, .cut = [] {}});
    thread_ = std::thread([this] { server_->run(stop_, [] {}); });
  }
  ~PlayedModelServer() { end(); }
  void end() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()) + "/v1"; }
  const PlayedModel& model() const { return model_; }

  // What is to happen; set before requests come.
  std::vector<std::string> models{"played"};
  std::string token{};             // needed; "": none
  std::atomic<int> fail_from{-1};  // scoring requests from this one on …
  std::atomic<int> fail_count{0};  // … as many
  std::atomic<int> fail_status{503};
  std::string fail_says = "overloaded";
  std::atomic<std::int64_t> hits_per_request{0};  // of the prefix cache's counter
  // What came.
  std::atomic<int> scored{0}, flushes{0};
  std::vector<std::string> salts() const {
    const std::lock_guard guard(mutex_);
    return salts_;
  }

 private:
  using Json = nlohmann::json;

  static http::Page json_page(const Json& json, int status = 200) {
    return {.status = status,
            .content_type = "application/json",
            .body = std::make_shared<const std::string>(json.dump(-1, ' ', false, Json::error_handler_t::replace))};
  }
  static http::Page error(int status, const std::string& message) {
    return json_page({{"error", {{"message", message}, {"type", "error"}}}}, status);
  }

  http::Page answer(const http::Request& request) {
    if (!token.empty() && request.headers.find("Authorization").value_or("") != "Bearer " + token)
      return error(401, "no token");
    const std::string path(request.path());
    if (request.method == "GET") return page(path);
    if (path == "/flush_cache" && kind_ == Kind::sglang) {
      ++flushes;
      return http::text_page(200, "Cache flushed.");
    }
    const bool is_generate = path == "/generate" && kind_ == Kind::sglang;
    if (path != "/v1/completions" && !is_generate) return error(404, "Not Found");
    const Json body = parse_json(request.body, "request");
    return is_generate ? generate(body) : complete(body);
  }

  http::Page page(const std::string& path) const {
    const auto owner = [&]() -> const char* {
      switch (kind_) {
        case Kind::vllm:
          return "vllm";
        case Kind::sglang:
          return "sglang";
        case Kind::llama_server:
          return "llamacpp";
        case Kind::batchscope:
          return "batchscope";
        default:
          return "me";
      }
    };
    if (path == "/v1/models") {
      Json data = Json::array();
      for (const std::string& model : models)
        data.push_back({{"id", model}, {"object", "model"}, {"owned_by", owner()}});
      return json_page({{"object", "list"}, {"data", data}});
    }
    if (path == "/version" && kind_ == Kind::vllm) return json_page({{"version", "0.33.0"}});
    if (path == "/get_model_info" && kind_ == Kind::sglang)
      return json_page({{"model_path", "played"}, {"is_generation", true}});
    if (path == "/get_server_info" && kind_ == Kind::sglang) return json_page({{"version", "0.5.23"}});
    if (path == "/props" && kind_ == Kind::llama_server)
      return json_page({{"default_generation_settings", Json::object()}, {"build_info", "b7000-abc"}});
    if (path == "/openapi.json" && kind_ == Kind::llama_cpp_python)
      return json_page({{"info", {{"title", "🦙 llama.cpp Python API"}, {"version", "0.3.36"}}}});
    if (path == "/openapi.json" && kind_ == Kind::transformers)
      return json_page({{"info", {{"title", "FastAPI"}, {"version", "0.1.0"}}},
                        {"paths", {{"/load_model", Json::object()}, {"/v1/responses", Json::object()}}}});
    if (path == "/metrics" && kind_ == Kind::vllm)
      return http::text_page(
          200, "vllm:prefix_cache_hits_total{engine=\"0\"} " + std::to_string(hits_per_request * scored) + "\n");
    return error(404, "Not Found");
  }

  struct Read {
    std::vector<std::int32_t> tokens;
    std::vector<std::optional<double>> values;  // of each token
    std::vector<std::int32_t> generated;
  };

  Read read(const Json& prompt, std::int64_t new_tokens) {
    Read read;
    if (prompt.is_string())
      read.tokens = model_.encode(prompt.get<std::string>());
    else
      read.tokens = prompt.get<std::vector<std::int32_t>>();
    if (wrong_ == Wrong::other_split) read.tokens.insert(read.tokens.begin() + 1, model_.space());
    if (wrong_ == Wrong::cuts_prompts && read.tokens.size() > 8)
      read.tokens.erase(read.tokens.begin(), read.tokens.begin() + 4);
    const double noise = wrong_ == Wrong::unsteady ? -0.7 * (scored % 5) : 0;
    for (std::size_t i = 0; i < read.tokens.size(); ++i) {
      double value = i == 0 ? 0 : model_.log_probability(read.tokens[i - 1], read.tokens[i]) + noise;
      if (wrong_ == Wrong::chance) value = -10.8;
      if (wrong_ == Wrong::shifts) value = model_.log_probability(read.tokens[i], read.tokens[i]);
      read.values.push_back(i == 0 && wrong_ != Wrong::first_value ? std::nullopt : std::optional(value));
    }
    std::int32_t last = read.tokens.back();
    for (std::int64_t i = 0; i < new_tokens; ++i) read.generated.push_back(last = model_.most_probable(last));
    return read;
  }

  std::string text_of(std::int32_t id) const {
    return wrong_ == Wrong::other_tokens ? "x" + std::to_string(id) : model_.text_of(id);
  }

  std::optional<http::Page> failure(const Json& body) {
    if (body.contains("cache_salt")) {
      const std::lock_guard guard(mutex_);
      salts_.push_back(body.at("cache_salt").get<std::string>());
    }
    const int number = scored++;
    if (fail_from >= 0 && number >= fail_from && number < fail_from + fail_count) return error(fail_status, fail_says);
    return std::nullopt;
  }

  http::Page generate(const Json& body) {
    if (auto page = failure(body)) return *page;
    const Read read = this->read(body.contains("input_ids") ? body.at("input_ids") : body.at("text"), 1);
    Json values = Json::array();
    for (std::size_t i = 0; i < read.tokens.size(); ++i)
      values.push_back({read.values[i] ? Json(*read.values[i]) : Json(), read.tokens[i], text_of(read.tokens[i])});
    return json_page({{"text", text_of(read.generated[0])},
                      {"meta_info",
                       {{"prompt_tokens", read.tokens.size()},
                        {"completion_tokens", 1},
                        {"cached_tokens", 0},
                        {"input_token_logprobs", std::move(values)}}}});
  }

  http::Page complete(const Json& body) {
    const bool takes_tokens = kind_ != Kind::llama_cpp_python && kind_ != Kind::transformers;
    if (!takes_tokens && !body.at("prompt").is_string())
      return json_page({{"detail", {{{"loc", {"body", "prompt"}}, {"msg", "Input should be a valid string"}}}}}, 422);
    const bool wants_prompt = body.value("echo", false) || body.contains("prompt_logprobs");
    if (kind_ == Kind::transformers && wants_prompt) return error(422, "Unexpected fields in the request: {'echo'}");
    if (wants_prompt)
      if (auto page = failure(body)) return *page;
    const Read read = this->read(body.at("prompt"), body.at("max_tokens").get<std::int64_t>());
    Json choice = {{"index", 0}, {"text", ""}, {"logprobs", nullptr}};
    if (body.contains("prompt_logprobs") && kind_ == Kind::vllm) {
      Json all = Json::array();
      for (std::size_t i = 0; i < read.tokens.size(); ++i)
        all.push_back(
            read.values[i]
                ? Json({{std::to_string(read.tokens[i]),
                         {{"logprob", *read.values[i]}, {"rank", 1}, {"decoded_token", text_of(read.tokens[i])}}}})
                : Json());
      if (wrong_ == Wrong::ignores_echo) all = nullptr;
      choice["prompt_logprobs"] = std::move(all);
    }
    if (body.contains("logprobs") && kind_ != Kind::transformers) choice["logprobs"] = logprobs(read, wants_prompt);
    return json_page(
        {{"choices", {choice}},
         {"usage", {{"prompt_tokens", read.tokens.size()}, {"completion_tokens", read.generated.size()}}}});
  }

  Json logprobs(const Read& read, bool wants_prompt) const {
    Json values = Json::array(), texts = Json::array(), content = Json::array();
    const auto add = [&](std::int32_t id, std::optional<double> value) {
      texts.push_back(text_of(id));
      values.push_back(value ? Json(*value) : Json());
      content.push_back({{"token", text_of(id)}, {"logprob", values.back()}});
    };
    if (wants_prompt && wrong_ != Wrong::ignores_echo && kind_ != Kind::llama_server)
      for (std::size_t i = kind_ == Kind::llama_cpp_python ? 1 : 0; i < read.tokens.size(); ++i) {
        const bool is_first_listed = kind_ == Kind::llama_cpp_python && i == 1;  // null, though it could be known
        add(read.tokens[i], is_first_listed ? std::nullopt : read.values[i]);
      }
    std::int32_t last = read.tokens.back();
    for (const std::int32_t id : read.generated) {
      add(id, model_.log_probability(last, id));
      last = id;
    }
    if (kind_ == Kind::llama_server) return {{"content", content}};
    return {{"tokens", texts}, {"token_logprobs", values}};
  }

  Kind kind_;
  Wrong wrong_;
  PlayedModel model_;
  mutable std::mutex mutex_;
  std::vector<std::string> salts_;
  std::atomic<bool> stop_{false};
  std::optional<http::Server> server_;
  std::thread thread_;
};

}  // namespace batchscope
