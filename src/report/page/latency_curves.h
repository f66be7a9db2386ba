// Latencies of inference servers over time, out of their histograms: mean and percentiles of what ended in each window.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/store.h"

namespace batchscope {

struct LatencyCurve {
  std::string server{}, kind{};                  // as in report/recording/server_latencies.h
  std::string statistic{};                       // "mean", "p50", "p90", "p99"
  std::vector<std::optional<double>> windows{};  // seconds; absent where no request ended
};

// Of all label sets of a server together, over `windows` equal parts of the time.
std::vector<LatencyCurve> latency_curves(const StoreReader& reader, std::span<const SeriesRecord> series,
                                         Nanoseconds begin, Nanoseconds end, std::size_t windows);

}  // namespace batchscope
