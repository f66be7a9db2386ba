// In which chart of a page a series is drawn: each chart answers one question, of all devices together.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/store.h"

namespace batchscope {

struct SeriesChart {
  int order = 0;           // of charts on the page
  std::string title{};     // "Power"
  std::string quantity{};  // what its axis shows, a key of page.quantity in page/browser/page.js
};

// One a series. Absent: it is no answer to a question that many ask, or another series of its device is the better one
// (GPM's rates of traffic beside totals, power beside energy).
std::vector<std::optional<SeriesChart>> series_charts(std::span<const SeriesRecord> series);

// Of latencies of servers (report/recording/server_latencies.h): one a kind.
SeriesChart latency_chart(const std::string& kind);

}  // namespace batchscope
