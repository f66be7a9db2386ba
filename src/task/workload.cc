// Workloads: their settings, the requests that they make, and what became of these (task/workload.h).
#include "task/workload.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/json.h"

namespace batchscope {
namespace {

constexpr std::int64_t any_count = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t most_prompt_tokens = 1 << 28;  // of all requests together: 1 GiB

// In (0, 1], the same on every machine, which the standard's distributions do not promise.
double uniform(std::mt19937_64& random) { return static_cast<double>((random() >> 11) + 1) * 0x1p-53; }

std::vector<std::int32_t> draw_tokens(std::int64_t count, std::int64_t vocabulary, std::mt19937_64& random) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (std::int32_t& token : tokens)
    token = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(vocabulary));
  return tokens;
}

// A time that is negative was not measured.
void check_order(const RequestResult& request) {
  if (request.arrival <= request.admitted && request.admitted <= request.first_token &&
      request.first_token <= request.end)
    return;
  throw Failure(
      "request {}: the engine's times are out of order: arrival at {} s, admitted at {} s, first token at {} s, end at "
      "{} s",
      request.id.dump(), to_seconds(request.arrival), to_seconds(request.admitted), to_seconds(request.first_token),
      to_seconds(request.end));
}

}  // namespace

nlohmann::json to_json(const Workload& workload) {
  const auto count = [](std::int64_t value) { return value > 0 ? nlohmann::json(value) : nlohmann::json(nullptr); };
  return {{"prompt_tokens", count(workload.prompt_tokens)},
          {"output_tokens", count(workload.output_tokens)},
          {"requests", count(workload.requests)},
          {"arrival_rate", workload.arrival_rate ? nlohmann::json(*workload.arrival_rate) : nlohmann::json(nullptr)},
          {"trace", workload.trace.empty() ? nlohmann::json(nullptr) : nlohmann::json(workload.trace)},
          {"temperature", workload.sampling.temperature},
          {"top_p", workload.sampling.top_p},
          {"seed", workload.sampling.seed}};
}

Workload workload_from_json(const nlohmann::json& json) {
  const JsonObject fields(json, "cell's workload");
  constexpr double largest = std::numeric_limits<double>::max();
  Workload workload;
  workload.prompt_tokens = fields.integer("prompt_tokens", 1, any_count, 0);
  workload.output_tokens = fields.integer("output_tokens", 1, any_count, 0);
  workload.requests = fields.integer("requests", 1, any_count, 0);
  if (fields.has("arrival_rate")) workload.arrival_rate = fields.number("arrival_rate", 0, largest);
  workload.trace = fields.text("trace", "");
  workload.sampling = {.temperature = fields.number("temperature", -1, largest),
                       .top_p = fields.number("top_p", 0, 1),
                       .seed = static_cast<std::uint64_t>(fields.integer("seed", 0, any_count))};
  check(workload);
  return workload;
}

void check(const Workload& workload) {
  if (workload.sampling.temperature < 0)
    throw InputError("--temperature: {} is below 0, which takes the most probable token",
                     workload.sampling.temperature);
  const bool has_lengths = workload.prompt_tokens > 0 || workload.output_tokens > 0 || workload.requests > 0;
  if (!workload.trace.empty() && (has_lengths || workload.arrival_rate))
    throw InputError(
        "--trace: it says how long requests are and when they arrive; leave out --prompt-tokens, --output-tokens, "
        "--requests and --arrival-rate (--limit takes the first requests)");
  if (!workload.trace.empty()) return;
  if (workload.prompt_tokens < 1 || workload.output_tokens < 1)
    throw InputError(
        "{}: requests are --prompt-tokens and --output-tokens long, 1 at least; give both, or --trace FILE",
        workload.prompt_tokens < 1 ? "--prompt-tokens" : "--output-tokens");
  if (workload.requests < 1) throw InputError("--requests: {} requests; 1 is the least", workload.requests);
}

std::vector<RequestOutline> draw_requests(const Workload& workload, std::optional<std::int64_t> limit) {
  std::mt19937_64 random(workload.sampling.seed);
  std::vector<RequestOutline> outlines;
  double arrival_s = 0;
  for (std::int64_t i = 0; i < std::min(workload.requests, limit.value_or(workload.requests)); ++i) {
    if (workload.arrival_rate && i > 0) arrival_s += -std::log(uniform(random)) / *workload.arrival_rate;
    if (arrival_s > 1e9)
      throw InputError("--arrival-rate: at {} a second request {} comes after 30 years; raise it",
                       *workload.arrival_rate, i);
    outlines.push_back({.id = i,
                        .arrival = from_seconds(arrival_s),
                        .prompt = std::nullopt,
                        .prompt_tokens = workload.prompt_tokens,
                        .output_tokens = workload.output_tokens});
  }
  return outlines;
}

bool WorkloadRequests::all_at_begin() const {
  return std::all_of(requests.begin(), requests.end(),
                     [](const GenerateRequest& request) { return request.arrival == Nanoseconds(0); });
}

WorkloadRequests make_requests(std::span<const RequestOutline> outlines, const Workload& workload,
                               const Tokenizer& tokenizer, std::int64_t vocabulary, std::int64_t max_tokens) {
  std::mt19937_64 random(workload.sampling.seed);
  WorkloadRequests made;
  std::int64_t all = 0;
  for (const RequestOutline& outline : outlines) {
    if (outline.output_tokens >= max_tokens)
      throw InputError(
          "request {}: {} output tokens behind a prompt are more than the {} tokens of a sequence; ask for fewer",
          outline.id.dump(), outline.output_tokens, max_tokens);
    GenerateRequest request{.new_tokens = outline.output_tokens, .arrival = outline.arrival, .stop_at_eos = false};
    if (outline.prompt) request.prompt = tokenizer.encode(*outline.prompt);
    const std::int64_t length = outline.prompt ? std::ssize(request.prompt) : outline.prompt_tokens;
    if (length < 1)
      throw InputError("request {}: its prompt has no token, and this tokenizer adds none; give some text",
                       outline.id.dump());
    const std::int64_t kept = std::min(length, max_tokens - outline.output_tokens);
    if ((all += kept) > most_prompt_tokens)
      throw InputError("the prompts have more than {} tokens in all; ask for fewer requests", most_prompt_tokens);
    if (outline.prompt)
      request.prompt.erase(request.prompt.begin(), request.prompt.end() - kept);
    else
      request.prompt = draw_tokens(kept, vocabulary, random);
    request.sampling = workload.sampling;
    request.sampling.seed = random();  // equal prompts need not be continued alike
    made.counts.requested += length + outline.output_tokens;
    made.counts.truncated += length - kept;
    made.ids.push_back(outline.id);
    made.prompt_tokens.push_back(length);
    made.requests.push_back(std::move(request));
  }
  return made;
}

std::optional<Nanoseconds> RequestResult::time_per_output_token() const {
  if (output_tokens < 2) return std::nullopt;
  return (end - first_token) / (output_tokens - 1);
}

nlohmann::json to_json(const RequestResult& request) {
  return {{"id", request.id},
          {"arrival_s", to_seconds(request.arrival)},
          {"admitted_s", to_seconds(request.admitted)},
          {"first_token_s", to_seconds(request.first_token)},
          {"end_s", to_seconds(request.end)},
          {"prompt_tokens", request.prompt_tokens},
          {"output_tokens", request.output_tokens},
          {"truncated", request.truncated}};
}

std::vector<RequestResult> request_results(const WorkloadRequests& asked,
                                           std::span<const GeneratedSequence> sequences) {
  CHECK_EQUAL(sequences.size(), asked.requests.size(), "the engine answers every request");
  std::vector<RequestResult> results;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    results.push_back({.id = asked.ids[i],
                       .arrival = asked.requests[i].arrival,
                       .admitted = sequences[i].admitted,
                       .first_token = sequences[i].first_token,
                       .end = sequences[i].end,
                       .prompt_tokens = asked.prompt_tokens[i],
                       .output_tokens = std::ssize(sequences[i].tokens),
                       .truncated = asked.truncated(i)});
    check_order(results.back());
  }
  return results;
}

}  // namespace batchscope
