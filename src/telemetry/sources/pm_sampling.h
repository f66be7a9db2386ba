// PM sampling as a source: activity of a GPU's SMs, tensor cores, memory and links at up to 20 kHz, of all processes.
// Asked for explicitly: it takes privilege, excludes other profilers, and the driver may lock clocks meanwhile.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "telemetry/cupti/pm_sampling.h"
#include "telemetry/sources/nvml_gpu.h"

namespace batchscope {

constexpr Nanoseconds shortest_pm_interval = std::chrono::microseconds(50);

// One source a GPU of the list that CUDA shows too. Throws Failure, with what to do, when it cannot be.
std::vector<std::unique_ptr<Source>> pm_sampling_sources(const std::vector<NvmlGpu>& gpus, Nanoseconds interval);

// The offset of a GPU's clock to the host's monotonic one, from samples alone: a sample is decoded after it was made,
// so the smallest distance that was seen of late bounds the offset, too long by at most an interval and the way to us.
class GpuClock {
 public:
  // A sample that ended then (by the GPU) was there at `now`.
  void see(Nanoseconds end, Nanoseconds now);
  Nanoseconds to_monotonic(Nanoseconds gpu) const { return gpu + offset_; }

 private:
  static constexpr std::size_t window = 64;  // decodings: the clocks drift apart
  std::array<Nanoseconds, window> distances_{};
  std::size_t seen_ = 0;
  Nanoseconds offset_{0};
};

}  // namespace batchscope
