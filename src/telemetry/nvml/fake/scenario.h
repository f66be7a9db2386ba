// What the fake NVML plays: machines, their load over time, how their counters behave, and what goes wrong when.
// Written in JSON; docs/fake_nvml.md has all keys.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "telemetry/nvml/api.h"
#include "telemetry/nvml/fake/fault.h"
#include "telemetry/nvml/fake/load.h"

namespace batchscope::nvml::fake {

// A value that the driver renews now and then: at t it is the mean over `window`, which ended at the last multiple of
// `refresh` before t - lag; a ring holds the latest `ring` of them.
struct Refresh {
  Nanoseconds refresh{}, window{}, lag{};
  std::int64_t ring = 0;
};

// From `at` on, refreshes lie `by` later than at multiples.
struct RefreshJump {
  Nanoseconds at{}, by{};
};

enum class NvlinkCounters {
  none,
  total,     // fields 138 to 141
  per_link,  // fields 202 and 204
};
enum class MigMode { unsupported, off, on };

struct GpuSpec {
  std::string name{}, uuid{}, bus_id{};
  std::uint32_t pci_device_id = 0;  // of device and vendor
  std::int64_t memory_bytes = 0, reserved_bytes = 0;
  bool unified_memory = false;  // the host's, of which NVML says nothing
  std::uint32_t power_limit_mw = 0, max_sm_clock_mhz = 0, max_memory_clock_mhz = 0;
  std::uint32_t pcie_generation = 0, pcie_lanes = 0, max_pcie_generation = 0;
  std::int64_t pcie_modulus_bits = 0;
  Nanoseconds pcie_window{};
  std::uint32_t nvlinks = 0, nvlink_speed_mbps = 0;
  NvlinkCounters nvlink_counters = NvlinkCounters::none;
  std::int64_t nvlink_raw_millionths = 0;  // raw bytes for a million of data
  bool gpm = true;
  double gpm_pcie_ratio = 1;             // bytes that GPM counts of those of the counters
  std::vector<RefreshJump> gpm_jumps{};  // of `gpm_samples`, by `at`
  MigMode mig_mode = MigMode::off;
  std::uint32_t mig_instances = 0;
  VirtualizationMode virtualization = not_virtual;
  Refresh utilization{}, power{}, energy{}, gpm_samples{};
  Load load{};
};

struct Scenario {
  std::string driver_version{}, nvml_version{};
  std::int64_t cuda_version = 0;
  Nanoseconds start{};  // the time at nvmlInit
  bool burn_cpu = false;
  std::map<std::string, Nanoseconds, std::less<>> costs{};  // by function, or by field's number
  std::vector<GpuSpec> gpus{};
  std::vector<Fault> faults{};  // by `from`

  Nanoseconds cost(std::string_view call) const;
};

// Throws InputError: one line that begins with `origin`.
Scenario parse_scenario(std::string_view text, std::string_view origin);

// Two GPUs like an H200, busy and idle by turns.
Scenario default_scenario();

}  // namespace batchscope::nvml::fake
