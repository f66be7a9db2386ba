// Workloads: their settings, the requests that they make, and what became of these (task/workload.h).
#include "task/workload.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "task/arrivals.h"

namespace batchscope {
namespace {

constexpr std::int64_t most_prompt_tokens = 1 << 28;  // of all requests together: 1 GiB

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

void check(const Workload& workload) {
  if (workload.sampling.temperature < 0)
    throw InputError("--temperature: {} is below 0, which takes the most probable token",
                     workload.sampling.temperature);
  const bool has_lengths = workload.prompt_tokens > 0 || workload.output_tokens > 0 || workload.requests != 0;
  if (!workload.trace.empty() && (has_lengths || workload.arrival_rate))
    throw InputError(
        "--trace: it says how long requests are and when they arrive; leave out --prompt-tokens, --output-tokens, "
        "--requests and --arrival-rate (--limit takes the first requests)");
  if (!workload.arrival_rate && workload.burstiness != 1)
    throw InputError("--burstiness is of arrivals; give --arrival-rate, too");
  if (workload.trace.empty() && (!workload.trace_format.empty() || workload.trace_speed != 1))
    throw InputError("{} is of --trace FILE; give that, too",
                     workload.trace_format.empty() ? "--trace-speed" : "--trace-format");
  if (!workload.trace.empty()) return;
  if (workload.prompt_tokens < 1 || workload.output_tokens < 1)
    throw InputError(
        "{}: requests are --prompt-tokens and --output-tokens long, 1 at least; give both, or --trace FILE",
        workload.prompt_tokens < 1 ? "--prompt-tokens" : "--output-tokens");
  if (workload.requests < 1 && workload.requests != Workload::one_batch)
    throw InputError("--requests: {} requests; the minimum is 1", workload.requests);
}

std::vector<RequestOutline> draw_requests(const Workload& workload, std::optional<std::int64_t> limit) {
  const std::int64_t count = std::min(workload.requests, limit.value_or(workload.requests));
  std::vector<Nanoseconds> arrivals(static_cast<std::size_t>(count), Nanoseconds(0));
  if (workload.arrival_rate)
    arrivals = draw_arrivals({.rate = *workload.arrival_rate, .burstiness = workload.burstiness}, count,
                             workload.sampling.seed);
  std::vector<RequestOutline> outlines;
  for (std::int64_t i = 0; i < count; ++i)
    outlines.push_back({.id = i,
                        .arrival = arrivals[static_cast<std::size_t>(i)],
                        .prompt = std::nullopt,
                        .prompt_tokens = workload.prompt_tokens,
                        .output_tokens = workload.output_tokens});
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
  const std::int64_t added = std::ssize(tokenizer.encode(""));  // to each text
  for (const RequestOutline& outline : outlines) {
    const std::int64_t output_tokens =
        outline.output ? std::max<std::int64_t>(std::ssize(tokenizer.encode(*outline.output)) - added, 1)
                       : outline.output_tokens;
    if (output_tokens >= max_tokens)
      throw InputError("request {}: {} output tokens after a prompt exceed the {} tokens of a sequence; ask for fewer",
                       outline.id.dump(), output_tokens, max_tokens);
    GenerateRequest request{.new_tokens = output_tokens, .arrival = outline.arrival, .stop_at_eos = false};
    if (outline.prompt) request.prompt = tokenizer.encode(*outline.prompt);
    const std::int64_t length = outline.prompt ? std::ssize(request.prompt) : outline.prompt_tokens;
    if (length < 1)
      throw InputError("request {}: its prompt has no token, and this tokenizer adds none; give some text",
                       outline.id.dump());
    const std::int64_t kept = std::min(length, max_tokens - output_tokens);
    if ((all += kept) > most_prompt_tokens)
      throw InputError("the prompts have more than {} tokens in total; ask for fewer requests", most_prompt_tokens);
    if (outline.prompt)
      request.prompt.erase(request.prompt.begin(), request.prompt.end() - kept);
    else
      request.prompt = draw_tokens(kept, vocabulary, random);
    request.sampling = workload.sampling;
    request.sampling.seed = random();  // equal prompts need not be continued alike
    made.counts.requested += length + output_tokens;
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
                       .output_tokens = sequences[i].length.value_or(std::ssize(sequences[i].tokens)),
                       .truncated = asked.truncated(i)});
    check_order(results.back());
  }
  return results;
}

}  // namespace batchscope
