// A server as an engine (engine/http/http_engine.h).
#include "engine/http/http_engine.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/phase_watch.h"
#include "engine/http/prefix_cache.h"
#include "engine/http/requests_in_flight.h"
#include "engine/http/scoring_probe.h"
#include "engine/http/served_generation.h"
#include "engine/http/server_client.h"

namespace batchscope {
namespace {

constexpr Nanoseconds longest_greeting = std::chrono::seconds(30);
constexpr std::int64_t probed_tokens = 6;  // generated at a time
constexpr const char* completions = "/completions";

ServerRequest scoring_request(const ScoringMethod& method, const ScoredPrompt& prompt, const std::string& model,
                              const std::string& salt) {
  ServerRequest request{.path = is_of_completions(method.form) ? completions : "/generate",
                        .body = scoring_body(method.form, prompt, model, salt)};
  if (!is_of_completions(method.form)) request.of = ServerClient::Of::server;
  return request;
}

ScoredPrompt prompt_of(const ScoringMethod& method, const ScoreRequest& request) {
  ScoredPrompt prompt{.text = request.context + request.continuation};
  if (method.sends_tokens) prompt.tokens = request.tokens;
  return prompt;
}

// One request outside of what is timed. CannotScore where the server refuses it.
PromptScores ask_once(const EngineSpec& spec, const ServerRequest& request, ScoringForm form) {
  ServerClient client(spec, spec.access.request_timeout);
  const ServerAnswer answer = client.post(request.path, request.body, request.of);
  if (answer.transfer.fault != http::Fault::none) throw Failure("the server {}", answer.failure());
  if (!answer.is_ok()) throw CannotScore(fmt::format("{} is answered {}", words_of(form), answer.explained_failure()));
  try {
    return read_prompt_scores(form, answer.body);
  } catch (const InputError& error) {
    throw CannotScore(error.what());
  }
}

}  // namespace

HttpEngine::HttpEngine(EngineSpec spec) : spec_(std::move(spec)) {}
HttpEngine::~HttpEngine() = default;

std::string HttpEngine::describe() const {
  if (server_.kind == nullptr) return label(spec_);
  return server_.name() + (names_model_ ? fmt::format(" ({})", visible(model_)) : "");
}

// Device, layout and dtype are what the server was started with, as the user says: nothing here depends on them.
Capabilities HttpEngine::capabilities() const {
  return {.layouts = {"dp", "mp", "pp", "tp"},
          .dtypes = {"bf16", "f16"},
          .plans = false,
          .scores = true,
          .generates = true};
}

// By the name that the user gives, where the server knows it; else the only one.
void HttpEngine::choose_model(const ModelSource& model) {
  const std::vector<std::string>& served = server_.models;
  const bool is_known = std::find(served.begin(), served.end(), model.path) != served.end();
  if (!is_known && served.size() > 1)
    throw InputError("--engine {}: {} serves {} models; name one with --model: {}", label(spec_), server_.name(),
                     served.size(), fmt::join(std::span(served).first(std::min<std::size_t>(served.size(), 20)), ", "));
  if (!is_known && tokenizer_ == nullptr && !model.path.empty())
    throw InputError("--model {}: it is neither here nor on the server {}, which serves {}", model.path, label(spec_),
                     served.empty() ? "nothing by name" : visible(served.front()));
  model_ = is_known ? model.path : served.empty() ? "" : served.front();
  names_model_ = !is_known && tokenizer_ == nullptr && !model_.empty();
}

void HttpEngine::probe() {
  salts_cache_ = server_.kind->salts_cache;
  const auto score = [&](ScoringForm form, const ScoredPrompt& prompt) {
    const auto request = [&](const std::string& salt) { return scoring_request({.form = form}, prompt, model_, salt); };
    return ask_once(spec_, request(salts_cache_ ? new_salt() : ""), form);
  };
  const ProbedServer server{
      .score = score, .go_on = [&](const std::string& text) {
        return ask_once(spec_, {completions, continuation_body(text, probed_tokens, model_)}, ScoringForm::echo);
      }};
  const auto find = [&] { return find_scoring_method(server_.kind->forms, tokenizer_.get(), server); };
  std::string reason;
  for (const bool salts : {true, false}) {  // some versions know no salt
    if (salts && !server_.kind->salts_cache) continue;
    salts_cache_ = salts;
    try {
      method_ = find();
      return;
    } catch (const CannotScore& error) {
      reason = error.what();
    }
  }
  const std::string gap(server_.kind->gap);
  throw InputError("--engine {}: {} cannot score questions: {}{}", label(spec_), server_.name(), reason,
                   gap.empty() ? "" : " (" + gap + ")");
}

Nanoseconds HttpEngine::load(const ModelSource& model, const Placement& placement) {
  const Nanoseconds begin = monotonic_clock().now();
  placement_ = placement;
  tokenizer_.reset();
  if (!model.path.empty() && std::filesystem::exists(model.path))
    tokenizer_ = open_tokenizer(model, read_config(model));
  ServerClient client(spec_, std::min(spec_.access.request_timeout, longest_greeting));
  try {
    server_ = recognise(read_server_pages(client));
    choose_model(model);
  } catch (const Failure& failure) {
    throw Failure("--engine {}: {}", label(spec_), failure.what());
  }
  check(capabilities(), describe(), placement, {});
  is_probed_ = false;
  return monotonic_clock().now() - begin;
}

// Connections, and whatever a server does first; by texts that are not the task's.
void HttpEngine::warm_up(std::int64_t in_flight, PhaseSink* phases) const {
  const PhaseScope phase(phases, warm_up_phase, "engine");
  const auto texts = probe_texts();
  send_requests(spec_,
                {.count = static_cast<std::size_t>(in_flight),
                 .in_flight = in_flight,
                 .make =
                     [&](std::size_t i) {
                       ScoredPrompt prompt{.text = texts[i % texts.size()]};
                       if (method_.sends_tokens) prompt.tokens = tokenizer_->encode(prompt.text);
                       return scoring_request(method_, prompt, model_, salts_cache_ ? new_salt() : "");
                     },
                 .take = [](std::size_t, const ServerAnswer&) {}},
                nullptr);
}

// What answers tell of tokens, of all requests together.
struct HttpEngine::Tally {
  std::vector<ContinuationScore> scores;
  std::vector<std::optional<std::int64_t>> cached;

  std::optional<std::int64_t> prompt_tokens() const {
    std::int64_t sum = 0;
    for (const ContinuationScore& score : scores) {
      if (!score.prompt_tokens) return std::nullopt;
      sum += *score.prompt_tokens;
    }
    return sum;
  }
  std::optional<std::int64_t> cached_tokens() const {
    std::int64_t sum = 0;
    for (const auto& each : cached) {
      if (!each) return std::nullopt;
      sum += *each;
    }
    return sum;
  }
  // At most, that requests of one question have in common: all prompts but its longest.
  std::int64_t shared_tokens(std::span<const ScoreRequest> requests) const {
    std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> groups;  // sum and longest
    for (std::size_t i = 0; i < scores.size(); ++i) {
      auto& [sum, longest] = groups[requests[i].group];
      sum += scores[i].prompt_tokens.value_or(0);
      longest = std::max(longest, scores[i].prompt_tokens.value_or(0));
    }
    std::int64_t shared = 0;
    for (const auto& [group, each] : groups) shared += each.first - each.second;
    return shared;
  }
  bool is_whole() const {
    return std::all_of(scores.begin(), scores.end(), [](const ContinuationScore& score) { return score.is_whole; });
  }
  std::int64_t drifted() const {
    return std::count_if(scores.begin(), scores.end(), [](const ContinuationScore& score) { return score.is_drifted; });
  }
};

ScoreReport HttpEngine::score(std::span<const ScoreRequest> requests, const RunSettings& settings, PhaseSink* phases) {
  check(capabilities(), describe(), placement_, settings);
  if (server_.kind == nullptr) throw Failure("--engine {}: the server was not asked for its model yet", label(spec_));
  if (!is_probed_) {
    probe();
    is_probed_ = true;
    if (!method_.why_text.empty())
      spdlog::warn("--engine {}: text is sent, not token ids: {}", label(spec_), method_.why_text);
  }
  for (const ScoreRequest& request : requests)
    if (request.continuation.empty() && !method_.sends_tokens)
      throw InputError("--engine {}: it takes text, and a question of this task is only lengths of tokens",
                       label(spec_));
  warm_up(settings.batch, phases);
  const std::string salt = salts_cache_ ? new_salt() : "";
  ServerClient client(spec_, longest_greeting);
  PrefixCache cache(client, *server_.kind, salts_cache_);
  cache.begin();

  Tally tally{.scores = std::vector<ContinuationScore>(requests.size()), .cached = {}};
  tally.cached.resize(requests.size());
  const Nanoseconds begin = monotonic_clock().now();
  ServedRequests served = send_requests(
      spec_,
      {.count = requests.size(),
       .in_flight = settings.batch,
       .make = [&](std::size_t i) { return scoring_request(method_, prompt_of(method_, requests[i]), model_, salt); },
       .take =
           [&](std::size_t i, const ServerAnswer& answer) {
             try {
               const PromptScores scores = read_prompt_scores(method_.form, answer.body);
               tally.scores[i] = score_continuation(method_, requests[i], scores);
               tally.cached[i] = scores.cached_tokens;
             } catch (const Error& error) {
               throw Failure("request {} of {}: {}", i + 1, requests.size(), error.what());
             }
           }},
      phases);
  const Nanoseconds end = monotonic_clock().now();
  if (phases != nullptr) phases->record({.name = timed_phase, .track = "engine", .begin = begin, .end = end});

  ScoreReport report;
  report.time = end - begin;
  for (const ContinuationScore& score : tally.scores) report.log_likelihoods.push_back(score.log_likelihood);
  const auto prompt_tokens = tally.prompt_tokens(), taken = cache.tokens_taken();
  served.cached_tokens = taken ? taken : tally.cached_tokens();
  if (prompt_tokens) report.tokens.requested = *prompt_tokens - std::ssize(requests);
  if (tally.is_whole()) report.tokens.truncated = 0;
  if (prompt_tokens && served.cached_tokens && !cache.is_kept_out())
    if (const std::string doubt =
            PrefixCache::doubt(*served.cached_tokens, tally.shared_tokens(requests), *prompt_tokens);
        !doubt.empty())
      report.doubts.push_back(doubt);
  if (served.retries > 0)
    report.doubts.push_back(fmt::format("{} requests were sent again after failing, which took time", served.retries));
  if (const std::int64_t drifted = tally.drifted(); drifted > 0)
    report.doubts.push_back(
        fmt::format("the server has other tokens than --model for {} of {} sequences", drifted, requests.size()));
  report.served = std::move(served);
  return report;
}

GenerateReport HttpEngine::generate(std::span<const GenerateRequest> requests, const RunSettings& settings,
                                    PhaseSink* phases, const TokenSink& on_token) {
  check(capabilities(), describe(), placement_, settings);
  if (server_.kind == nullptr) throw Failure("--engine {}: the server was not asked for its model yet", label(spec_));
  ServedGeneration how{.model = model_, .in_flight = settings.batch, .tokenizer = tokenizer_.get()};
  if (server_.kind->salts_cache) how.fields["cache_salt"] = new_salt();
  if (!requests.empty() && requests[0].sampling.temperature > 0) {  // its draws are its own
    how.fields["temperature"] = requests[0].sampling.temperature;
    how.fields["top_p"] = requests[0].sampling.top_p;
    how.fields["seed"] = static_cast<std::int64_t>(requests[0].sampling.seed >> 33);
  }
  ServerClient client(spec_, longest_greeting);
  PrefixCache cache(client, *server_.kind, server_.kind->salts_cache);
  cache.begin();
  GenerateReport report = generate_on_server(spec_, how, requests, phases);
  if (phases != nullptr)
    phases->record(
        {.name = timed_phase, .track = "engine", .begin = *report.begin, .end = *report.begin + report.time});
  std::int64_t prompt_tokens = 0;
  for (const GenerateRequest& request : requests) prompt_tokens += std::ssize(request.prompt);
  report.served->cached_tokens = cache.tokens_taken();
  if (report.served->cached_tokens && !cache.is_kept_out())
    if (const std::string doubt = PrefixCache::doubt(*report.served->cached_tokens, 0, prompt_tokens); !doubt.empty())
      report.doubts.push_back(doubt);
  if (on_token)
    for (std::size_t i = 0; i < report.sequences.size(); ++i)
      for (const std::int32_t token : report.sequences[i].tokens) on_token(i, token);
  return report;
}

}  // namespace batchscope
