// The paper's method beside exact counters (report/recording/paper_view.h).
#include "report/recording/paper_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"

namespace batchscope {
namespace {

const CounterSummary* find(std::span<const CounterSummary> counters, const std::string& device,
                           const std::string& name) {
  const auto found = std::find_if(counters.begin(), counters.end(), [&](const CounterSummary& s) {
    return s.counter.device == device && s.counter.name == name;
  });
  return found == counters.end() ? nullptr : &*found;
}

std::optional<double> share(double part, const std::optional<double>& whole) {
  if (!whole || *whole <= 0) return std::nullopt;
  return part / *whole;
}

}  // namespace

std::vector<PaperView> paper_views(std::span<const CounterSummary> counters) {
  std::vector<PaperView> views;
  for (const CounterSummary& rate : counters)
    for (const std::string direction : {"tx", "rx"}) {
      if (rate.counter.name != "paper_pcie_" + direction + "_bytes_per_second" || rate.count == 0) continue;
      const CounterSummary* seen = find(counters, rate.counter.device, "paper_pcie_" + direction + "_seen_bytes_total");
      const CounterSummary* exact = find(counters, rate.counter.device, "gpu_pcie_" + direction + "_bytes_total");
      if (seen == nullptr || seen->count == 0) continue;
      PaperView view{.device = rate.counter.device, .is_sent = direction == "tx", .seen_bytes = seen->last};
      view.estimated_bytes = *rate.mean() * to_seconds(exact != nullptr && exact->count > 0 ? exact->end - exact->begin
                                                                                            : rate.end - rate.begin);
      if (exact != nullptr) {
        view.exact_bytes = exact->total();
        view.exact_is_complete = exact->total_is_complete();
      }
      views.push_back(view);
    }
  return views;
}

std::string to_text(std::span<const PaperView> views) {
  if (views.empty()) return "";
  std::string out = fmt::format("{:<33}{:>11} {:>8} {:>11} {:>13}\n", "What the paper's method saw", "seen", "share",
                                "extrapolated", "exact");
  for (const PaperView& view : views) {
    const auto seen = share(view.seen_bytes, view.exact_bytes);
    out +=
        fmt::format("  {:<31}{:>11} {:>8} {:>11} {:>13}\n", view.device + (view.is_sent ? " TX" : " RX"),
                    format_bytes(view.seen_bytes), seen ? fmt::format("{:.1f} %", 100 * *seen) : "-",
                    format_bytes(view.estimated_bytes),
                    view.exact_bytes ? (view.exact_is_complete ? "" : ">= ") + format_bytes(*view.exact_bytes) : "-");
  }
  return out;
}

nlohmann::json to_json(std::span<const PaperView> views) {
  nlohmann::json all = nlohmann::json::array();
  for (const PaperView& view : views) {
    const auto seen = share(view.seen_bytes, view.exact_bytes);
    all.push_back({{"device", view.device},
                   {"direction", view.is_sent ? "tx" : "rx"},
                   {"seen_bytes", view.seen_bytes},
                   {"seen_share", seen ? nlohmann::json(*seen) : nlohmann::json()},
                   {"estimated_bytes", view.estimated_bytes},
                   {"exact_bytes", view.exact_bytes ? nlohmann::json(*view.exact_bytes) : nlohmann::json()},
                   {"exact_is_complete", view.exact_is_complete}});
  }
  return all;
}

}  // namespace batchscope
