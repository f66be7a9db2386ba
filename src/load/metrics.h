// What the requests of a run say together: times, rates, goodput, failures by name, and whether the client kept up.
// docs/load.md has the formulas.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "store/load_runs.h"

namespace batchscope::load {

enum class Metric { ttft, ttft_intended, tpot, ntpot, itl, icl, e2e, e2e_intended };

struct MetricWords {
  Metric metric;
  std::string_view word, title, formula;
};
std::span<const MetricWords> metric_words();

// Of one request; absent where it does not exist or what it needs is not known. Of ITL and ICL the mean.
std::optional<Nanoseconds> value_of(Metric metric, const LoadRequestRecord& request);
// ITL or ICL: each gap.
std::vector<Nanoseconds> gaps_of(Metric metric, const LoadRequestRecord& request);

// --slo ttft=200ms,tpot=30ms. InputError names the flag.
struct SloTerm {
  Metric metric = Metric::ttft;
  Nanoseconds most{0};
};
std::vector<SloTerm> parse_slo(std::string_view text, std::string_view what);
std::string slo_text(std::span<const SloTerm> slo);

// A quantile: between the two values around (count - 1) * share, as numpy's "linear" does. The interval covers the
// population's quantile with 95 % at least, whatever the distribution (order statistics, binomial): a bound that no
// value can be is absent, as the upper one of p99 is below 368 values. Needs independent values.
struct QuantileInterval {
  double value = 0;
  std::optional<double> low{}, high{};
};
QuantileInterval quantile_interval(std::span<const double> sorted, double share, bool are_independent = true);

struct MetricSummary {
  Metric metric = Metric::ttft;
  std::int64_t count = 0;    // values: requests, or gaps
  std::int64_t unknown = 0;  // answered requests without a value
  // Milliseconds.
  double mean = 0, least = 0, most = 0;
  QuantileInterval p50{}, p90{}, p99{};
};

struct LoadSettings {
  std::vector<SloTerm> slo{};
  std::optional<std::int64_t> warm_up{};  // requests that are left out at the start; absent: found by change_point
};

struct Goodput {
  std::int64_t met = 0, unknown = 0;  // requests; unknown: a term's metric is not known, which does not count as met
  double share = 0;                   // of all measured requests, failed ones included
  double requests_per_s = 0;
  std::optional<double> output_tokens_per_s{};
};

struct LoadSummary {
  std::int64_t requests = 0;  // sent in all
  std::int64_t warm_up = 0;   // of these left out of everything below
  std::int64_t answered = 0;  // outcome ok
  std::int64_t retries = 0;
  std::map<std::string, std::int64_t> outcomes{};
  std::map<std::string, std::string> details{};  // of failures, the first one's: what the server or the client said
  double seconds = 0;         // from the first request's sending to the last end
  double requests_per_s = 0;  // answered
  std::int64_t most_at_once = 0;
  std::optional<double> offered_per_s{};  // requests by the schedule's instants; absent for fewer than two instants
  // Of answered requests; absent where one's count is unknown.
  std::optional<std::int64_t> prompt_tokens{}, output_tokens{};
  std::optional<double> output_tokens_per_s{};
  std::int64_t unknown_tokens = 0;  // answered requests without a count of output tokens
  std::int64_t other_lengths = 0;   // answered requests whose output is not as long as asked for
  std::optional<double> tokens_per_chunk{};
  std::vector<MetricSummary> metrics{};  // in the order of metric_words(); those without a value are left out
  std::optional<QuantileInterval> lag_p50{}, lag_p99{};  // ms: how much later than allowed the client acted
  std::optional<double> held_back_p99{};                 // ms: due - intended, by the cap on concurrency
  std::optional<Goodput> goodput{};
  std::vector<std::string> invalid{};  // why these figures must not be used; empty: they may be
};
std::vector<LoadRequestRecord> in_order_of_due(std::span<const LoadRequestRecord> requests);
LoadSummary summarize(std::span<const LoadRequestRecord> requests, const LoadSettings& settings);

// How many of these values, in the order of time, come before a change to smaller ones: the largest standardised
// Mann-Whitney statistic over all places in the first half (Pettitt 1979; Hawkins and Deng 2010), where it exceeds what
// chance gives once in a thousand series (Bonferroni). 0: no such change.
std::size_t change_point(std::span<const double> values);

}  // namespace batchscope::load
