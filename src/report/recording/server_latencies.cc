// Latencies of a server (report/recording/server_latencies.h).
#include "report/recording/server_latencies.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "base/units.h"

namespace batchscope {
namespace {

struct LatencyKind {
  const char* in_name;
  const char* kind;
};
// The first that stands in a name counts.
constexpr std::array kinds{
    LatencyKind{"time_to_first_token", "time to first token"},
    LatencyKind{"time_per_output_token", "time per output token"},
    LatencyKind{"mean_time_per_token", "time per output token"},
    LatencyKind{"inter_token_latency", "inter-token latency"},
    LatencyKind{"queue_time", "queue"},
    LatencyKind{"queue_duration", "queue"},
    LatencyKind{"e2e_request_latency", "end to end"},
    LatencyKind{"request_duration", "end to end"},
};

std::optional<double> upper_bound_in(std::string_view labels) {
  constexpr std::string_view label = "le=\"";
  for (auto at = labels.find(label); at != std::string_view::npos; at = labels.find(label, at + 1)) {
    if (at > 0 && labels[at - 1] != ',' && labels[at - 1] != ' ') continue;
    const auto value = labels.substr(at + label.size());
    const auto text = value.substr(0, value.find('"'));
    return text == "+Inf" ? std::optional(std::numeric_limits<double>::infinity()) : parse_number(text);
  }
  return std::nullopt;
}

struct LatencySums {
  std::map<double, double> buckets{};
  double sum = 0, count = 0;
};

}  // namespace

std::optional<LatencySeries> latency_series(std::string_view name, std::string_view device) {
  if (name.ends_with("_total")) name.remove_suffix(std::string_view("_total").size());
  const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const LatencyKind& one) {
    return name.find(one.in_name) != std::string_view::npos;
  });
  if (kind == kinds.end()) return std::nullopt;
  if (name.ends_with("_sum")) return LatencySeries{.kind = kind->kind, .part = LatencySeries::Part::sum};
  if (name.ends_with("_count")) return LatencySeries{.kind = kind->kind, .part = LatencySeries::Part::count};
  const auto bound = name.ends_with("_bucket") ? upper_bound_in(device) : std::nullopt;
  if (!bound) return std::nullopt;
  return LatencySeries{.kind = kind->kind, .part = LatencySeries::Part::bucket, .upper_bound = *bound};
}

std::optional<double> quantile_of(std::span<const std::pair<double, double>> buckets, double quantile) {
  if (buckets.empty() || !(buckets.back().second > 0)) return std::nullopt;
  const double rank = quantile * buckets.back().second;
  double low = 0, until = 0;
  for (const auto& [bound, count] : buckets) {
    if (count >= rank && count > until) {
      if (!std::isfinite(bound)) return buckets.size() > 1 ? std::optional(low) : std::nullopt;
      return low + (bound - low) * (rank - until) / (count - until);
    }
    if (std::isfinite(bound)) low = std::max(bound, 0.0);
    until = count;
  }
  return low;
}

std::vector<ServerLatency> server_latencies(std::span<const CounterSummary> counters) {
  std::map<std::pair<std::string, std::string>, LatencySums> all;
  for (const CounterSummary& counter : counters) {
    const std::string& device = counter.counter.device;
    const auto series = latency_series(counter.counter.name, device);
    const auto increase = counter.total();
    if (!series || !increase) continue;
    LatencySums& sums = all[{device.substr(0, device.find(' ')), series->kind}];
    if (series->part == LatencySeries::Part::sum) sums.sum += *increase;
    if (series->part == LatencySeries::Part::count) sums.count += *increase;
    if (series->part == LatencySeries::Part::bucket) sums.buckets[series->upper_bound] += *increase;
  }
  std::vector<ServerLatency> out;
  for (const auto& [of, sums] : all) {
    if (!(sums.count > 0)) continue;
    const std::vector<std::pair<double, double>> buckets(sums.buckets.begin(), sums.buckets.end());
    out.push_back({.server = of.first,
                   .kind = of.second,
                   .count = std::llround(sums.count),
                   .mean_s = sums.sum / sums.count,
                   .p50_s = quantile_of(buckets, 0.5),
                   .p99_s = quantile_of(buckets, 0.99)});
  }
  return out;
}

}  // namespace batchscope
