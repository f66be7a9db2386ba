// What one device did during a run.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "device/link.h"
#include "tensor/dtype.h"
#include "tensor/memory.h"

namespace batchscope {

// What a device can do at most, as its data sheet has it.
struct DeviceLimits {
  double bytes_per_second = 0;             // of its memory
  std::map<DType, double> flop_per_second;  // of products; dtypes that it has no units for are absent
};

struct DeviceReport {
  std::string name;  // "cpu:0"
  bool is_virtual = true;
  std::optional<int> threads;  // of a worker on the host's CPUs
  MemoryReport memory;
  std::vector<LinkReport> links;
  // Shares of the run's wall time; absent where not measured.
  struct Busy {
    double compute = 0, communicate = 0, idle = 0;
  };
  std::optional<Busy> busy;
  // By the device's own counters, over the part that was timed; an engine cannot tell (study/cell_counters.h).
  std::optional<double> energy_joule;
  std::optional<double> utilisation;  // share of the time in which it was in use, as its driver defines that
};

}  // namespace batchscope
