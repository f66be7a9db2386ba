// How many CPUs this process may use.
#pragma once

#include <filesystem>

namespace batchscope {

// Its affinity mask, and no more than its control groups' quota allows (rounded up); at least 1. `cgroup_root` is where
// the control groups are mounted and `membership` the file that names this process's (cgroup v2 and v1).
int usable_cpus(const std::filesystem::path& cgroup_root = "/sys/fs/cgroup",
                const std::filesystem::path& membership = "/proc/self/cgroup");

}  // namespace batchscope
