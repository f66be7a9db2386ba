// What the paper's method saw of a link's traffic, beside the exact counters of the same recording.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "telemetry/summary/summary.h"

namespace batchscope {

struct PaperView {
  std::string device{};
  bool is_sent = true;
  double seen_bytes = 0;                // within the windows of its calls
  double estimated_bytes = 0;           // its mean rate over the whole time
  std::optional<double> exact_bytes{};  // by the cumulative counter; absent where that has no value
  bool exact_is_complete = true;        // no part of its increase is unknown
};

// Two a GPU; none of a recording without --paper.
std::vector<PaperView> paper_views(std::span<const CounterSummary> counters);

std::string to_text(std::span<const PaperView> views);  // "" for none
nlohmann::json to_json(std::span<const PaperView> views);

}  // namespace batchscope
