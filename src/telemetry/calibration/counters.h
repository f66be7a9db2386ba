// NVML's counters as calibration reads them: one call each, with the driver's answer.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "telemetry/nvml/library.h"

namespace batchscope::calibration {

struct NvmlCounter {
  std::string id;    // what --only and the result call it: "pcie_rx"
  std::string name;  // of the counter that sources publish: "gpu_pcie_rx_bytes_total"
  std::string call;  // by which it is read
  std::string unit;  // of its values
  std::function<nvml::Return(double& value)> read;
};

// All that have a single value a call, in the order in which they are calibrated.
std::vector<NvmlCounter> single_counters(const nvml::Library& nvml, nvml::Device device);

// The driver's rings of samples.
struct RingCounter {
  std::string id, name, call, unit;
  nvml::SamplingType type;
  double scale;  // of a sample's value, to `unit`
};
std::vector<RingCounter> ring_counters();

// The ids of all counters, GPM among them.
std::vector<std::string> counter_ids();
constexpr const char* gpm_id = "gpm";

}  // namespace batchscope::calibration
