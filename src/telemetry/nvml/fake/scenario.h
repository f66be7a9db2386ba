// What the fake NVML plays: machines, their load over time, how their counters behave, and what goes wrong when.
// Written in JSON; docs/fake_nvml.md has all keys.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "telemetry/nvml/api.h"

namespace batchscope::nvml::fake {

// What has a rate; every counter is an exact integral or mean of one.
enum class Rate {
  pcie_tx,  // bytes/s
  pcie_rx,
  nvlink_tx,
  nvlink_rx,
  power,     // mW
  gpu_busy,  // millionths of the time
  memory_busy,
  sm_busy,
  tensor_busy,
  dram_busy,
  power_capped,
  thermally_capped,
  count
};
constexpr std::size_t rate_count = static_cast<std::size_t>(Rate::count);
constexpr std::int64_t millionths = 1'000'000;

enum class ProcessKind { compute, graphics, mps };
struct GpuProcess {
  std::optional<std::uint32_t> pid{};  // absent: the asking process
  std::uint64_t used_bytes = 0;
  ProcessKind kind = ProcessKind::compute;
};

// What a GPU does for a while.
struct Activity {
  std::array<std::int64_t, rate_count> rates{};  // by Rate
  std::int64_t memory_used_bytes = 0;
  std::vector<GpuProcess> processes{};
  std::uint32_t sm_clock_mhz = 345, memory_clock_mhz = 3201;
  std::uint32_t temperature_c = 30, memory_temperature_c = 35;
  std::uint64_t throttle_reasons = reason_idle;

  std::int64_t rate(Rate which) const { return rates[static_cast<std::size_t>(which)]; }
};

struct Interval {
  Nanoseconds length{};
  Activity activity{};
};
constexpr Nanoseconds for_ever = Nanoseconds::max();

struct Load {
  std::vector<Interval> intervals{};  // only the last one may last for ever
  bool repeat = false;                // else idle afterwards
  Activity idle{};
};

// A value that the driver renews now and then: at t it is the mean over `window`, which ended at the last multiple of
// `refresh` before t - lag; a ring holds the latest `ring` of them.
struct Refresh {
  Nanoseconds refresh{}, window{}, lag{};
  std::int64_t ring = 0;
};

enum class NvlinkCounters { none, total /* fields 138-141 */, per_link /* fields 202, 204 */ };
enum class MigMode { unsupported, off, on };

struct GpuSpec {
  std::string name{}, uuid{}, bus_id{};
  std::uint32_t pci_device_id = 0;  // of device and vendor
  std::int64_t memory_bytes = 0, reserved_bytes = 0;
  std::uint32_t power_limit_mw = 0, max_sm_clock_mhz = 0, max_memory_clock_mhz = 0;
  std::uint32_t pcie_generation = 0, pcie_lanes = 0, max_pcie_generation = 0;
  std::int64_t pcie_modulus_bits = 0;
  Nanoseconds pcie_window{};
  std::uint32_t nvlinks = 0, nvlink_speed_mbps = 0;
  NvlinkCounters nvlink_counters = NvlinkCounters::none;
  std::int64_t nvlink_raw_millionths = 0;  // raw bytes for a million of data
  bool gpm = true;
  MigMode mig_mode = MigMode::off;
  std::uint32_t mig_instances = 0;
  VirtualizationMode virtualization = not_virtual;
  Refresh utilization{}, power{}, energy{}, gpm_samples{};
  Load load{};
};

enum class FaultKind { lost, hang, answer, reset, xid, ecc };
struct Fault {
  FaultKind kind = FaultKind::lost;
  std::optional<int> gpu{};  // absent: all
  Nanoseconds from{}, until = for_ever;
  std::vector<std::string> calls{};  // functions, and fields by number; none: all
  Return result = success;           // of `answer`
  std::vector<Rate> counters{};      // of `reset`
  std::uint64_t xid = 0;
  std::uint64_t corrected = 0, uncorrected = 0;  // of `ecc`

  bool concerns(int which, Nanoseconds time) const { return (!gpu || *gpu == which) && time >= from && time < until; }
  bool concerns(int which, std::string_view call, Nanoseconds time) const;
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

// Both throw InputError: one line that begins with `origin`.
Scenario parse_scenario(std::string_view text, std::string_view origin);
// An object with the keys "load", "repeat" and "idle" of a GPU.
Load parse_load(std::string_view text, std::string_view origin);

// Two GPUs like an H200, busy and idle by turns.
Scenario default_scenario();

}  // namespace batchscope::nvml::fake
