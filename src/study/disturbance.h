// Whether other programs worked on the CPUs while virtual devices were timed on them.
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

#include "base/clock.h"

namespace batchscope {

class Disturbance {
 public:
  // From now on; processes beside this one belong to the same run.
  explicit Disturbance(std::vector<pid_t> beside = {});
  // Share, 0 to 1, of the CPUs usable by this process that others have used since; absent when it cannot be known.
  std::optional<double> others_share() const;

 private:
  Nanoseconds begin_;
  std::optional<double> busy_s_;  // of these CPUs, by anyone
  std::vector<pid_t> beside_;
  double own_s_ = 0;  // CPU time of the run's processes
};

// Busy CPU time in seconds of the given CPUs from the text of /proc/stat; absent when one of them is not there.
std::optional<double> parse_busy_seconds(const char* stat_text, const bool* cpus, int count, double ticks_per_s);

}  // namespace batchscope
