// Where a process's control groups lie, and what they allow of the CPUs (Linux cgroup v2 and v1).
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

namespace batchscope {

// The folders of the groups with this controller ("cpu", "memory") that the process is in, the outermost first: the
// limits of all of them hold. `mount` is where control groups are mounted, `membership` the file that names the
// process's own ("/proc/PID/cgroup"). Folders that a container does not see are left out.
std::vector<std::filesystem::path> control_groups(std::string_view controller, const std::filesystem::path& mount,
                                                  const std::filesystem::path& membership);

// CPUs that a group's own quota allows; absent without a quota.
std::optional<double> cpu_quota(const std::filesystem::path& group);

}  // namespace batchscope
