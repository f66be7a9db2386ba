// GPM's samples (Hopper on), and what went between two of them. The driver's library keeps state of its own for these
// calls. It was seen to crash in nvmlGpmMetricsGet (580.159) when several threads made that call at once, and when the
// first samples of two GPUs were taken at once: 1001 of 1004 programs, none of 354 where each GPU's first sample was
// taken while no other call was made (docs/results/profiler_2xh200.json). So that is how they are made here; later
// samples of one GPU wait for none of another, which may hang. Nobody waits for ever: `timeout` where a call of another
// thread does not return.
#pragma once

#include <chrono>

#include "telemetry/nvml/library.h"

namespace batchscope::nvml {

// A buffer for one sample.
class GpmSnapshot {
 public:
  explicit GpmSnapshot(const Library& library);  // which must outlive it
  ~GpmSnapshot();
  GpmSnapshot(GpmSnapshot&& other) noexcept;
  GpmSnapshot& operator=(GpmSnapshot&& other) noexcept;

  static constexpr auto longest_wait = std::chrono::milliseconds(500);  // for other threads' calls

  Return take(Device device, std::chrono::nanoseconds wait = longest_wait);
  // Of a GPU, or of its part (MIG).
  Return take(const Gpu& gpu, std::chrono::nanoseconds wait = longest_wait);
  // The metrics that `metrics` asks for, between an earlier sample and this one.
  Return metrics_since(const GpmSnapshot& earlier, GpmMetrics& metrics,
                       std::chrono::nanoseconds wait = longest_wait) const;

 private:
  const Library* library_;
  GpmSample sample_ = nullptr;
  Return taken_;
};

}  // namespace batchscope::nvml
