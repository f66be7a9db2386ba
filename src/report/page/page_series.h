// Time series and phases of an interval, thinned to what a page can carry: spikes stay, times stay on one grid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/phase.h"
#include "report/page/latency_curves.h"
#include "report/page/series_chart.h"
#include "store/store.h"

namespace batchscope {

// How much of an interval is kept.
struct SeriesBudget {
  std::int64_t buckets = 400;  // of the grid of time, at most
  std::int64_t phases = 1000;  // more are drawn together where they are too short to be seen
};

// What is said of series once a page, not once an interval.
class SeriesNames {
 public:
  std::size_t index_of(const SeriesRecord& series, const std::optional<SeriesChart>& chart);
  std::size_t index_of(const LatencyCurve& curve);
  // [{name, device, unit, kind, virtual, help, chart: {order, title, quantity} or null}, …]
  const nlohmann::json& json() const { return json_; }

 private:
  std::map<std::int64_t, std::size_t> index_of_;         // by the series' id
  std::map<std::string, std::size_t> index_of_latency_;  // by all that names it
  nlohmann::json json_ = nlohmann::json::array();
};

// What a page keeps of each of `intervals` so that `series` in each of them fit into a file of a few MB.
SeriesBudget series_budget(std::int64_t intervals, std::int64_t series);

// {seconds, buckets, tracks: [{name, phases: [[name, begin, end, how many, detail], …]}], series: [[index in the names,
// low, high, mean, min, max], …]}; times of phases are seconds from the begin. A cumulative counter is its rate, in
// units per second. `mean`, `min` and `max` have two characters a bucket (see page/series.js): a value between `low`
// and `high` in 4094 steps, no reading, or a gap; `min` and `max` are left out where they are the mean, all three where
// the series stands still.
nlohmann::json interval_json(const StoreReader& reader, std::span<const SeriesRecord> series,
                             std::span<const Phase> phases, Nanoseconds begin, Nanoseconds end,
                             const SeriesBudget& budget, SeriesNames& names);

}  // namespace batchscope
