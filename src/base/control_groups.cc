// Control groups (Linux: Documentation/admin-guide/cgroup-v2, cpu.max, and cgroup-v1).
#include "base/control_groups.h"

#include <fstream>
#include <string>
#include <system_error>

namespace batchscope {
namespace {

std::optional<double> number_in(const std::filesystem::path& file) {
  std::ifstream stream(file);
  double value = 0;
  if (stream >> value && value > 0) return value;  // "-1" and "max": no limit
  return std::nullopt;
}

void add_folders(const std::filesystem::path& root, const std::string& group,
                 std::vector<std::filesystem::path>& folders) {
  std::error_code ignored;
  std::filesystem::path folder = root;
  if (!std::filesystem::is_directory(folder, ignored)) return;
  folders.push_back(folder);
  for (const auto& part : std::filesystem::path(group).relative_path()) {
    folder /= part;
    if (part == ".." || !std::filesystem::is_directory(folder, ignored)) return;
    folders.push_back(folder);
  }
}

}  // namespace

std::vector<std::filesystem::path> control_groups(std::string_view controller, const std::filesystem::path& mount,
                                                  const std::filesystem::path& membership) {
  const std::string wanted = "," + std::string(controller) + ",";
  std::vector<std::filesystem::path> folders;
  std::ifstream groups(membership);
  for (std::string line;
       std::getline(groups, line);) {  // "0::/group" in version 2, "4:cpu,cpuacct:/group" in version 1
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    if (controllers.empty())
      add_folders(mount, group, folders);
    else if (("," + controllers + ",").find(wanted) != std::string::npos)
      add_folders(mount / controller, group, folders);
  }
  return folders;
}

std::optional<double> cpu_quota(const std::filesystem::path& group) {
  if (std::ifstream stream(group / "cpu.max"); stream) {
    double most = 0, period = 0;
    if (stream >> most >> period && most > 0 && period > 0) return most / period;
    return std::nullopt;
  }
  const auto most = number_in(group / "cpu.cfs_quota_us"), period = number_in(group / "cpu.cfs_period_us");
  if (most && period) return *most / *period;
  return std::nullopt;
}

}  // namespace batchscope
