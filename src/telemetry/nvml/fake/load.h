// The load of a fake GPU: what it does over time, as rates and levels.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
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
  std::int64_t utilization = 0;  // millionths of the time
};

// What a GPU does for a while.
struct Activity {
  std::array<std::int64_t, rate_count> rates{};  // by Rate
  std::int64_t memory_used_bytes = 0;
  std::vector<GpuProcess> processes{};
  std::uint32_t sm_clock_mhz = 345, memory_clock_mhz = 3201;
  std::uint32_t temperature_c = 30, memory_temperature_c = 35;
  std::uint64_t throttle_reasons = reason_idle;
  std::optional<std::uint32_t> encoder_percent{}, decoder_percent{}, fan_percent{};  // absent: it has none

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

// From an object with the keys "load", "repeat" and "idle". Throws InputError.
Load parse_load(const JsonObject& object);
// The same from a text that has nothing else; errors begin with `origin`.
Load parse_load(std::string_view text, std::string_view origin);

}  // namespace batchscope::nvml::fake
