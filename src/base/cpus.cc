// Affinity and control groups (Linux: sched_getaffinity(2)).
#include "base/cpus.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/control_groups.h"

namespace batchscope {
namespace {

int affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());  // more CPUs than a cpu_set_t has
}

}  // namespace

int usable_cpus(const std::filesystem::path& cgroup_root, const std::filesystem::path& membership) {
  double cpus = affinity();
  for (const auto& group : control_groups("cpu", cgroup_root, membership))
    if (const auto quota = cpu_quota(group)) cpus = std::min(cpus, *quota);
  return std::max(1, static_cast<int>(std::ceil(cpus)));
}

}  // namespace batchscope
