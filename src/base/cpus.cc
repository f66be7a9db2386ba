// Affinity and control groups (Linux: sched_getaffinity(2), Documentation/admin-guide/cgroup-v2, cpu.max).
#include "base/cpus.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

namespace batchscope {
namespace {

int affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());  // more CPUs than a cpu_set_t has
}

std::optional<double> number_in(const std::filesystem::path& file) {
  std::ifstream stream(file);
  double value = 0;
  if (stream >> value && value > 0) return value;  // "-1" and "max": no limit
  return std::nullopt;
}

// CPUs that a group's own limit allows.
std::optional<double> quota(const std::filesystem::path& group) {
  if (std::ifstream stream(group / "cpu.max"); stream) {
    double most = 0, period = 0;
    if (stream >> most >> period && most > 0 && period > 0) return most / period;
    return std::nullopt;
  }
  const auto most = number_in(group / "cpu.cfs_quota_us"), period = number_in(group / "cpu.cfs_period_us");
  if (most && period) return *most / *period;
  return std::nullopt;
}

// A group and all that it lies in.
double smallest_quota(const std::filesystem::path& root, const std::string& group, double cpus) {
  std::filesystem::path path = root;
  if (const auto own = quota(path)) cpus = std::min(cpus, *own);
  for (const auto& part : std::filesystem::path(group).relative_path()) {
    path /= part;
    if (const auto own = quota(path)) cpus = std::min(cpus, *own);
  }
  return cpus;
}

}  // namespace

int usable_cpus(const std::filesystem::path& cgroup_root, const std::filesystem::path& membership) {
  double cpus = affinity();
  std::ifstream groups(membership);
  for (std::string line; std::getline(groups, line);) {  // "0::/group" in version 2, "4:cpu,cpuacct:/group" in version 1
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    if (controllers.empty())
      cpus = smallest_quota(cgroup_root, group, cpus);
    else if (("," + controllers + ",").find(",cpu,") != std::string::npos)
      cpus = smallest_quota(cgroup_root / "cpu", group, cpus);
  }
  return std::max(1, static_cast<int>(std::ceil(cpus)));
}

}  // namespace batchscope
