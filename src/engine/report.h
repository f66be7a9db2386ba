// What an engine tells of a run. Whatever it does not tell is absent, never 0: only the answers and the time, which is
// measured around every engine alike, are always there.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "comm/ledger.h"
#include "device/device_report.h"
#include "device/timed_launches.h"

namespace batchscope {

// The phase that an engine records around what it is timed for: after loading and warm-up, on the host's clock. What
// counters say of a run is summed over it (telemetry/summary/phase_sums.h).
inline constexpr const char* timed_phase = "timed";

struct TokenCounts {
  std::int64_t requested = 0;  // model inputs that the task asks for: one less than each sequence's length
  std::int64_t truncated = 0;  // of those, cut away before the model saw them
  std::int64_t computed = 0;   // real tokens that went through the model
  std::int64_t padding = 0;    // tokens computed on top, only to fill batches
};

// The same, as far as an engine tells.
struct ReportedTokens {
  std::optional<std::int64_t> requested{}, truncated{}, computed{}, padding{};
};
inline ReportedTokens reported(const TokenCounts& counts) {
  return {counts.requested, counts.truncated, counts.computed, counts.padding};
}

// Requests that a server answered over HTTP.
struct ServedRequests {
  std::vector<Nanoseconds> times;        // from sending to the answer's last byte, in the order of the requests
  std::vector<Nanoseconds> first_bytes;  // from sending to its first byte
  std::int64_t retries = 0;              // requests sent again after a failure
  std::map<std::string, std::int64_t> failures;  // attempts that failed, by what went wrong
  std::optional<std::int64_t> cached_tokens;     // of the prompts, that the server took from its prefix cache
};

// A step of a rank once more after the run, for the times of its parts.
struct ObservedStep {
  std::string kind;  // "batch", "prefill", "decode"
  int rank = 0;
  std::string device;
  double padding_share = 0;         // of the tokens that it computes
  double seconds = 0;               // on the device, when nobody observes it
  std::vector<TimedEntry> entries;  // in their order
  std::optional<DeviceLimits> limits;
};

struct ScoreReport {
  std::vector<double> log_likelihoods;  // natural logarithms, one a request, in the order of the requests
  ReportedTokens tokens;
  std::optional<std::int64_t> batches;
  std::vector<Nanoseconds> batch_times;  // empty: not told
  Nanoseconds time{0};                   // wall clock of scoring, after warm-up
  std::vector<DeviceReport> devices;     // empty: not told
  std::vector<LedgerEntry> ledger;       // collectives by kind and phase, all ranks; empty: none, or not told
  std::optional<ServedRequests> served;  // of an engine that is a server
  std::vector<ObservedStep> observed;    // of ranks in this process, where the settings ask for it
  std::vector<std::string> doubts;       // what the engine itself saw that makes the numbers invalid
};

// What became of a request; instants since the start of the run.
struct GeneratedSequence {
  std::vector<std::int32_t> tokens;  // generated, without the prompt
  Nanoseconds arrival{0}, admitted{0}, first_token{0}, end{0};
  std::optional<std::int64_t> length{};  // of an engine that gives no tokens: how many there are
};

struct GenerateReport {
  std::vector<GeneratedSequence> sequences;  // one a request, in the order of the requests
  ReportedTokens tokens;                     // requested: prompts and what was generated, less the last of each
  std::optional<std::int64_t> steps;         // passes through the model
  std::vector<Nanoseconds> step_times;
  Nanoseconds time{0};
  std::vector<DeviceReport> devices;
  std::vector<LedgerEntry> ledger;
  std::vector<ObservedStep> observed{};
  std::optional<Nanoseconds> begin{};       // of the run, of an engine that is a server: on the host's clock
  std::optional<ServedRequests> served{};   // likewise
  std::vector<std::string> doubts{};        // what the engine itself saw that makes the numbers invalid
};

}  // namespace batchscope
