// Times of launches, read from a device's events (device/timed_launches.h).
#include "device/timed_launches.h"

#include <algorithm>
#include <utility>

namespace batchscope {

std::vector<TimedEntry> without_inner_kernels(std::vector<TimedEntry> entries) {
  std::vector<TimedEntry> kept;
  for (TimedEntry& timed : entries) {
    if (const auto* collective = std::get_if<CollectiveWork>(&timed.entry))
      kept.resize(kept.size() - std::min(kept.size(), static_cast<std::size_t>(collective->kernels)));
    kept.push_back(std::move(timed));
  }
  return kept;
}

std::vector<TimedEntry> TimedLaunches::take() {
  std::vector<TimedEntry> entries;
  if (!launches_.empty()) device_.wait(launches_.back().end);
  for (Launched& launch : launches_)
    entries.push_back({std::move(launch.entry), to_seconds(device_.time_between(launch.begin, launch.end))});
  launches_.clear();
  return without_inner_kernels(std::move(entries));
}

}  // namespace batchscope
