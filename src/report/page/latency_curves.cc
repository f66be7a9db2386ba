// Latencies over time (report/page/latency_curves.h).
#include "report/page/latency_curves.h"

#include <algorithm>
#include <map>
#include <utility>

#include "report/recording/server_latencies.h"

namespace batchscope {
namespace {

// What a cumulative series grew by in each window: between the last readings before its ends.
std::vector<double> increases(const StoreReader& reader, const SeriesRecord& series, Nanoseconds begin, Nanoseconds end,
                              std::size_t windows) {
  constexpr std::size_t most_parts = 1 << 14;
  constexpr Nanoseconds around = std::chrono::seconds(5);
  const std::vector<SeriesBucket> parts = reader.buckets(series, most_parts, begin - around, end + around);
  std::vector<double> out(windows, 0.0);
  std::optional<double> before;
  std::size_t next = 0;
  for (std::size_t window = 0; window <= windows; ++window) {
    const Nanoseconds edge =
        begin + (end - begin) / static_cast<std::int64_t>(windows) * static_cast<std::int64_t>(window);
    std::optional<double> value = before;
    for (; next < parts.size() && parts[next].end <= edge; ++next)
      if (parts[next].last) value = parts[next].last;
    if (!value && next < parts.size()) value = parts[next].first;  // the first reading comes later
    if (window > 0 && before && value) out[window - 1] = std::max(*value - *before, 0.0);
    before = value;
  }
  return out;
}

struct Sums {
  std::map<double, std::vector<double>> buckets{};  // by upper bound
  std::vector<double> sum, count;
};

void add(std::vector<double>& to, const std::vector<double>& values) {
  to.resize(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) to[i] += values[i];
}

std::optional<double> quantile_in(const Sums& sums, std::size_t window, double quantile) {
  std::vector<std::pair<double, double>> buckets;
  for (const auto& [bound, counts] : sums.buckets) buckets.emplace_back(bound, counts[window]);
  return quantile_of(buckets, quantile);
}

}  // namespace

std::vector<LatencyCurve> latency_curves(const StoreReader& reader, std::span<const SeriesRecord> series,
                                         Nanoseconds begin, Nanoseconds end, std::size_t windows) {
  std::map<std::pair<std::string, std::string>, Sums> all;
  for (const SeriesRecord& record : series) {
    if (record.kind != "cumulative" || !record.source.starts_with("scrape")) continue;
    const auto part = latency_series(record.name, record.device);
    if (!part) continue;
    Sums& sums = all[{record.device.substr(0, record.device.find(' ')), part->kind}];
    const std::vector<double> grown = increases(reader, record, begin, end, windows);
    if (part->part == LatencySeries::Part::sum) add(sums.sum, grown);
    if (part->part == LatencySeries::Part::count) add(sums.count, grown);
    if (part->part == LatencySeries::Part::bucket) add(sums.buckets[part->upper_bound], grown);
  }
  std::vector<LatencyCurve> curves;
  const auto add_curve = [&](const auto& of, const char* statistic, const auto& value) {
    LatencyCurve curve{.server = of.first, .kind = of.second, .statistic = statistic};
    for (std::size_t i = 0; i < windows; ++i) curve.windows.push_back(value(i));
    const auto has_value = [](const auto& one) { return one.has_value(); };
    if (std::any_of(curve.windows.begin(), curve.windows.end(), has_value)) curves.push_back(std::move(curve));
  };
  for (const auto& [of, sums] : all) {
    add_curve(of, "mean", [&sums = sums](std::size_t i) {
      const bool is_known = i < sums.sum.size() && i < sums.count.size() && sums.count[i] > 0;
      return is_known ? std::optional(sums.sum[i] / sums.count[i]) : std::nullopt;
    });
    for (const auto& [name, quantile] : {std::pair("p50", 0.5), std::pair("p90", 0.9), std::pair("p99", 0.99)})
      add_curve(of, name,
                [&sums = sums, quantile = quantile](std::size_t i) { return quantile_in(sums, i, quantile); });
  }
  return curves;
}

}  // namespace batchscope
