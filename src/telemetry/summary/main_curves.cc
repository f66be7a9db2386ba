// Main curves that are missing (telemetry/summary/main_curves.h).
#include "telemetry/summary/main_curves.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

#include "base/units.h"

namespace batchscope {
namespace {

// A curve, and the counters of which one is enough.
struct Curve {
  const char* what;
  std::array<const char*, 2> counters;
};
constexpr std::array<Curve, 5> curves{{
    {"utilisation", {"gpu_utilization_ratio", nullptr}},
    {"SM activity", {"gpu_sm_active_ratio", nullptr}},
    {"memory", {"gpu_memory_used_bytes", nullptr}},
    {"power", {"gpu_power_watts", nullptr}},
    {"PCIe traffic", {"gpu_pcie_rx_bytes_total", "gpu_pcie_rx_bytes_per_second"}},
}};

using OfDevice = std::map<std::string, const CounterSummary*>;  // by name

// Why a device lacks it; absent: it does not, or nothing has been read of it yet, as of rings that fill slowly.
std::optional<std::string> lack_of(const Curve& curve, const OfDevice& counters) {
  std::optional<std::string> why;
  for (const char* name : curve.counters) {
    const auto found = name != nullptr ? counters.find(name) : counters.end();
    if (found == counters.end()) continue;
    if (found->second->absent_now == nullptr) return std::nullopt;
    why = found->second->absent_now;
  }
  return why;
}

bool is_of_a_gpu(const OfDevice& counters) {
  return std::any_of(curves.begin(), curves.end(), [&](const Curve& curve) {
    return std::any_of(curve.counters.begin(), curve.counters.end(),
                       [&](const char* name) { return name != nullptr && counters.contains(name); });
  });
}

}  // namespace

std::vector<std::string> lacking_curves(const RecordingSummary& first) {
  std::map<std::string, OfDevice> devices;
  for (const CounterSummary& counter : first.counters) devices[counter.counter.device][counter.counter.name] = &counter;
  std::map<std::string, std::set<std::string>> by_lack;
  for (const auto& [device, counters] : devices) {
    if (!is_of_a_gpu(counters)) continue;
    for (const Curve& curve : curves)
      if (const auto why = lack_of(curve, counters))
        by_lack[fmt::format("no {}: {}", curve.what, *why)].insert(device.substr(0, device.find(' ')));
  }
  std::map<std::string, Nanoseconds> slow;  // kinds of sources
  for (const SamplerFigures& sampler : first.samplers) {
    constexpr double tolerance = 1.05;
    if (!sampler.curve || to_seconds(sampler.period) <= tolerance * to_seconds(*sampler.curve)) continue;
    Nanoseconds& period = slow[sampler.source.substr(0, sampler.source.find(' '))];
    period = std::max(period, sampler.period);
  }
  std::vector<std::string> lines;
  for (const auto& [lack, names] : by_lack) lines.push_back(fmt::format("{}: {}", fmt::join(names, ", "), lack));
  for (const auto& [kind, period] : slow)
    lines.push_back(fmt::format("{} only every {}, since --cpu-budget allows no more", kind, format_duration(period)));
  return lines;
}

}  // namespace batchscope
