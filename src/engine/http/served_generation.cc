// Requests out, answers to sequences (engine/http/served_generation.h).
#include "engine/http/served_generation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/phase_watch.h"
#include "engine/http/server_client.h"
#include "load/metrics.h"
#include "store/load_runs.h"

namespace batchscope {
namespace {

using load::Metric;

constexpr Nanoseconds lead = std::chrono::milliseconds(50);
constexpr std::int64_t most_warming = 64;  // requests at once, before anything is timed

load::Endpoint endpoint_of(const EngineSpec& server, const ServedGeneration& how) {
  http::Url url = http::parse_url(server.url, "--engine");
  if (url.target.empty()) url.target = "/v1";
  return {.url = std::move(url), .model = how.model, .extra = how.fields, .token = token_of(server.access)};
}

load::RunOptions options_of(const EngineSpec& server, std::int64_t in_flight) {
  const Nanoseconds timeout = server.access.request_timeout;
  return {.concurrency = in_flight,
          .limits = {.first_byte = timeout, .between_bytes = timeout, .whole = timeout},
          .retries = server.access.retries};
}

std::vector<load::Answer> send(const load::Endpoint& endpoint, const std::vector<load::Request>& requests,
                               Nanoseconds begin, const load::RunOptions& options) {
  std::vector<load::Answer> answers(requests.size());
  const std::atomic<bool> never{false};
  load::run_requests(
      endpoint, requests, begin, options,
      [&](load::Answer answer) {
        const auto place = static_cast<std::size_t>(answer.record.position);
        answers[place] = std::move(answer);
      },
      never);
  return answers;
}

// "3 of 40 requests failed: 2 http_503, 1 reset; the first: too many"; "": none did.
std::string failure_of(const std::vector<load::Answer>& answers) {
  std::map<std::string, std::int64_t> failures;
  std::string first;
  for (const load::Answer& answer : answers) {
    if (answer.record.outcome == "ok") continue;
    if (first.empty()) first = answer.record.detail;
    ++failures[answer.record.outcome];
  }
  if (failures.empty()) return "";
  std::int64_t count = 0;
  std::vector<std::string> kinds;
  for (const auto& [outcome, times] : failures) {
    count += times;
    kinds.push_back(fmt::format("{} {}", times, outcome));
  }
  return fmt::format("{} of {} requests failed: {}{}", count, answers.size(), fmt::join(kinds, ", "),
                     first.empty() ? "" : "; the first: " + first);
}

std::vector<load::Request> as_text(std::vector<load::Request> requests, const Tokenizer& tokenizer) {
  for (load::Request& request : requests)
    request.prompt = {.text = tokenizer.decode(std::exchange(request.prompt.tokens, {}))};
  return requests;
}

// Connections, and whatever a server does first. Some servers refuse fields that are not OpenAI's, or token ids: fields
// are left out then, and prompts sent as text, if it goes on so. The requests are those that it goes on with.
void warm_up(load::Endpoint& endpoint, const load::RunOptions& options, const Tokenizer* tokenizer,
             std::vector<load::Request>& requests) {
  std::string first;
  for (const bool is_text : {false, true}) {
    if (is_text && tokenizer == nullptr) break;
    if (is_text) requests = as_text(std::move(requests), *tokenizer);
    const auto few = warming_requests(requests, std::min(*options.concurrency, most_warming));
    for (const bool is_plain : {false, true}) {
      endpoint.only_standard_fields = is_plain;
      const auto answers = send(endpoint, few, monotonic_clock().now(), options);
      const std::string failure = failure_of(answers);
      if (failure.empty()) return;
      if (first.empty()) first = failure;
      // llama-cpp-python answers 500 to a body that it does not take.
      const auto status = answers[0].record.status.value_or(0);
      if (status != 400 && status != 422 && status != 500)
        throw Failure("--engine {}: before anything was timed, {}", endpoint.url.server(), first);
    }
  }
  throw Failure("--engine {}: before anything was timed, {}", endpoint.url.server(), first);
}

// How many tokens the prompts have as text, and how many were meant.
void warn_of_text(std::span<const GenerateRequest> meant, std::span<const load::Request> sent, const EngineSpec& server,
                  const Tokenizer& tokenizer) {
  std::size_t of_text = 0, of_ids = 0;
  for (const GenerateRequest& request : meant) of_ids += request.prompt.size();
  for (const load::Request& request : sent) of_text += tokenizer.encode(request.prompt.text).size();
  spdlog::warn(
      "--engine {}: prompts are sent as text, for the server takes no token ids: {} tokens by --model instead of {}",
      label(server), of_text, of_ids);
}

GeneratedSequence sequence_of(const load::Answer& answer, const GenerateRequest& asked) {
  const LoadRequestRecord& record = answer.record;
  const auto first = load::value_of(Metric::ttft, record), last = load::value_of(Metric::e2e, record);
  if (!record.output_tokens)
    throw Failure("the server says not how many tokens its answers have, neither in a usage nor by their ids");
  if (!first || !last)
    throw Failure("the server does not stream its answers: when their first token came is not known");
  GeneratedSequence sequence{.arrival = asked.arrival};
  sequence.admitted = std::max(*record.sent, asked.arrival);
  sequence.first_token = *record.sent + *first;
  sequence.end = *record.sent + *last;
  if (std::ssize(answer.tokens) == *record.output_tokens)
    sequence.tokens = answer.tokens;
  else
    sequence.length = record.output_tokens;
  return sequence;
}

// What the client saw that makes the numbers doubtful.
void add_doubts(const std::vector<load::Answer>& answers, GenerateReport& report) {
  std::vector<LoadRequestRecord> records;
  for (const load::Answer& answer : answers) records.push_back(answer.record);
  const load::LoadSummary summary = load::summarize(records, {.warm_up = 0});
  report.doubts = summary.invalid;
  if (summary.retries > 0)
    report.doubts.push_back(fmt::format("{} requests were sent again after failing, which took time", summary.retries));
  if (summary.other_lengths > 0)
    report.doubts.push_back(fmt::format("{} outputs are not as long as asked for", summary.other_lengths));
  report.served->retries = summary.retries;
}

}  // namespace

std::vector<load::Request> warming_requests(std::span<const load::Request> requests, std::int64_t count) {
  const auto few = requests.first(std::min(requests.size(), static_cast<std::size_t>(count)));
  std::vector<load::Request> warming(few.begin(), few.end());
  for (load::Request& request : warming) {
    std::reverse(request.prompt.tokens.begin(), request.prompt.tokens.end());
    request.arrival.reset();
    request.output_tokens = std::min<std::int64_t>(request.output_tokens, 2);
  }
  return warming;
}

GenerateReport generate_on_server(const EngineSpec& server, const ServedGeneration& how,
                                  std::span<const GenerateRequest> requests, PhaseSink* phases) {
  load::Endpoint endpoint = endpoint_of(server, how);
  const load::RunOptions options = options_of(server, how.in_flight);
  std::vector<load::Request> asked;
  for (const GenerateRequest& request : requests)
    asked.push_back({.id_json = std::to_string(asked.size()),
                     .prompt = {.tokens = request.prompt},
                     .output_tokens = request.new_tokens,
                     .arrival = request.arrival});
  {
    const PhaseScope phase(phases, warm_up_phase, "engine");
    warm_up(endpoint, options, how.tokenizer, asked);
  }
  if (!asked.empty() && asked[0].prompt.tokens.empty()) warn_of_text(requests, asked, server, *how.tokenizer);

  const Nanoseconds begin = monotonic_clock().now() + lead;
  const std::vector<load::Answer> answers = send(endpoint, asked, begin, options);
  if (const std::string failure = failure_of(answers); !failure.empty())
    throw Failure("--engine {}: {}", label(server), failure);
  GenerateReport report{.begin = begin, .served = ServedRequests()};
  for (std::size_t i = 0; i < answers.size(); ++i) {
    report.sequences.push_back(sequence_of(answers[i], requests[i]));
    const LoadRequestRecord& record = answers[i].record;
    report.time = std::max(report.time, report.sequences.back().end);
    report.served->times.push_back(*record.end - *record.sent);
    report.served->first_bytes.push_back(*record.first_byte - *record.sent);
  }
  add_doubts(answers, report);
  return report;
}

}  // namespace batchscope
