// Generation as a task: prompts to continue, when they arrive, and what became of each. A workload is of one length,
// its prompts drawn, or a trace that was recorded somewhere.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace batchscope {

// As it is set. Either `trace`, or prompt_tokens, output_tokens and requests.
struct Workload {
  std::int64_t prompt_tokens = 0, output_tokens = 0;  // of every request; 0: not given
  static constexpr std::int64_t one_batch = -1;
  std::int64_t requests = 0;                          // 0: not given; one_batch: as many as run at a time
  std::optional<double> arrival_rate;                 // requests a second, > 0; absent: all are there at the begin
  double burstiness = 1;                              // of arrivals (task/arrivals.h)
  std::string trace;                                  // path
  std::string trace_format;                           // a word of task/trace_formats.h; "": as the file looks
  double trace_speed = 1;                             // how many times faster its requests arrive
  Sampling sampling;                                  // its seed draws prompts and arrivals, too
};
inline constexpr std::int64_t default_requests = 100;
inline constexpr std::int64_t most_output_tokens = 1 << 20;  // of one request

// InputError, in the words of eval's flags, when what is set cannot go together.
void check(const Workload& workload);

// One request before it is tokenised.
struct RequestOutline {
  nlohmann::json id;                  // integer or string
  Nanoseconds arrival{0};             // since the begin of the run
  std::optional<std::string> prompt;  // absent: prompt_tokens are drawn
  std::optional<std::string> output;  // a text that is as long as the output; absent: output_tokens says it
  std::int64_t prompt_tokens = 0;
  std::int64_t output_tokens = 0;
};

// A JSON-lines file, one {id?, arrival_s?, prompt | prompt_tokens, output_tokens} a line, in the order of arrival, or a
// file in one of the forms of task/trace_formats.h. An id that is left out is the request's place from 0; arrivals are
// 0 where no line has any; they may be dates. Requests of 0 tokens are left out, with a warning. InputError names file,
// line, key; keys that are not known are refused: one may be a misspelt arrival_s. `limit` keeps the first requests
// only.
std::vector<RequestOutline> read_trace(const Workload& workload, std::optional<std::int64_t> limit = {});
std::vector<RequestOutline> parse_trace(std::string_view text, std::string_view origin,
                                        std::optional<std::int64_t> limit = {}, std::string_view format = "",
                                        double speed = 1);

// A workload of one length. Arrivals are a process of `arrival_rate` and `burstiness` whose first event is the begin of
// the run.
std::vector<RequestOutline> draw_requests(const Workload& workload, std::optional<std::int64_t> limit = {});

// What a workload asks of an engine: one request each, in the order of the workload.
struct WorkloadRequests {
  std::vector<GenerateRequest> requests;
  std::vector<nlohmann::json> ids;          // of each request
  std::vector<std::int64_t> prompt_tokens;  // of each request, before any truncation
  TokenCounts counts;                       // requested (prompts and outputs) and truncated

  bool truncated(std::size_t request) const { return std::ssize(requests[request].prompt) < prompt_tokens[request]; }
  bool all_at_begin() const;  // no request arrives later
};

// Tokenises prompts and draws those that have only a length: ids in [0, vocabulary), the same ones for the same seed
// whatever arrives when. A request is all its output tokens long, whatever they are. `max_tokens` is the longest
// sequence, prompt and output together; longer prompts lose tokens on the left. InputError names a request whose output
// alone is too long, and one whose prompt has no token.
WorkloadRequests make_requests(std::span<const RequestOutline> outlines, const Workload& workload,
                               const Tokenizer& tokenizer, std::int64_t vocabulary, std::int64_t max_tokens);

// One line of `--items`. Instants since the begin of the run.
struct RequestResult {
  nlohmann::json id;
  Nanoseconds arrival{0}, admitted{0}, first_token{0}, end{0};
  std::int64_t prompt_tokens = 0;  // before any truncation
  std::int64_t output_tokens = 0;  // generated
  bool truncated = false;

  Nanoseconds queue_time() const { return admitted - arrival; }
  Nanoseconds time_to_first_token() const { return first_token - arrival; }
  Nanoseconds latency() const { return end - arrival; }
  // Absent for a single token.
  std::optional<Nanoseconds> time_per_output_token() const;
};
nlohmann::json to_json(const RequestResult& request);

// Failure when an instant comes before one that it must follow: an engine that served a request before it arrived, say.
std::vector<RequestResult> request_results(const WorkloadRequests& asked, std::span<const GeneratedSequence> sequences);

}  // namespace batchscope
