// The bench on which a GPU is calibrated: its counters, loads to run on it, and the clocks.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "telemetry/calibration/counters.h"
#include "telemetry/calibration/estimate.h"
#include "telemetry/calibration/read_cost.h"
#include "telemetry/load/load.h"

namespace batchscope::calibration {

struct Bench {
  const nvml::Library& nvml;
  const nvml::Gpu& gpu;
  LoadRunner& loads;
  Clock& clock;
  std::function<Nanoseconds()> wall;                                        // of the driver's time stamps: unix_time
  std::function<void(const std::string&)> say = [](const std::string&) {};  // progress, a line each
};

TimedValue read_now(const Bench& bench, const NvmlCounter& counter);

// What a read costs, and why the counter cannot be read: `refusal` is null when it can.
struct Tried {
  ReadCost cost;
  const char* refusal = nullptr;
};
Tried try_reading(const Bench& bench, const NvmlCounter& counter);

// A load and what counters said beside it.
struct Observation {
  LoadRun run;
  std::vector<Series> series;  // one a counter, in their order
};
// Reads every counter once before the load, then once a period, and for `tail` after its end.
Observation observe(const Bench& bench, const Load& load, std::span<const NvmlCounter* const> counters,
                    Nanoseconds period, Nanoseconds tail);
// The same without a load, for `duration`.
std::vector<Series> watch(const Bench& bench, std::span<const NvmlCounter* const> counters, Nanoseconds period,
                          Nanoseconds duration);

// Takes from a driver's ring every sample once.
class RingReader {
 public:
  RingReader(const Bench& bench, const RingCounter& counter);

  // What has come since the last call: instants on the host's monotonic clock.
  nvml::Return drain();
  const Series& samples() const { return samples_; }

 private:
  const Bench& bench_;
  RingCounter counter_;
  Nanoseconds wall_offset_;  // of the wall clock to the monotonic one
  std::uint64_t last_us_ = 0;
  std::vector<nvml::Sample> buffer_;
  Series samples_;
};

}  // namespace batchscope::calibration
