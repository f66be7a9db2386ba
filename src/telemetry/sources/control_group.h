// What a control group limits (a container, a job of a batch system, a service), and what is used of it.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "telemetry/counter.h"

namespace batchscope {

// Use and limit are always those of the same group: of all around a process, the one with the tightest limit.
class ControlGroup {
 public:
  // Of the process with this membership file ("/proc/PID/cgroup"); absent where no group allows less than the host has.
  // `files` is where proc/ and sys/ are.
  static std::optional<ControlGroup> of(const std::filesystem::path& membership, const std::string& files = "/");

  // CPU seconds, seconds throttled, limit in cores; memory in use without file cache that can be dropped, its limit,
  // and processes that the kernel killed for want of memory.
  static std::vector<Counter> counters();
  // Of each, in that order.
  void read(std::span<Reading> out) const;

 private:
  std::filesystem::path cpu_, memory_;
};

}  // namespace batchscope
