// The driver's rings of samples (sources/nvml.h).
#include <algorithm>

#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

// The driver was seen to keep 71 to 119 samples, 2.4 s of them at least.
constexpr std::uint32_t most_samples = 512;
constexpr Pace pace_of_rings{.wanted = std::chrono::milliseconds(500), .longest = std::chrono::milliseconds(1800)};
constexpr Nanoseconds stamp_error = std::chrono::milliseconds(20);  // a sample may be stamped so much after now

struct Ring {
  nvml::SamplingType type{};
  double scale = 1;                      // of its values, to the counter's unit
  Nanoseconds last{Nanoseconds::min()};  // sample taken, monotonic
};

class SamplesSource : public NvmlSource {
 public:
  explicit SamplesSource(const NvmlGpu& gpu) : NvmlSource(gpu, "samples"), samples_(most_samples) {
    add(nvml::samples_gpu_utilization, 0.01,
        gpu_.real_counter("gpu_utilization_ratio", "ratio", CounterKind::window,
                          "share of the driver's window in which any kernel ran"));
    add(nvml::samples_memory_utilization, 0.01,
        gpu_.real_counter("gpu_memory_utilization_ratio", "ratio", CounterKind::window,
                          "share of the driver's window in which memory was read or written"));
    add(nvml::samples_power, 0.001,
        gpu_.real_counter("gpu_power_watts", "watts", CounterKind::window, "power drawn, as the sensor averages it"));
  }

  Pace pace(Nanoseconds asked) const override {
    return {.wanted = std::max(std::min(asked, pace_of_rings.longest), pace_of_rings.wanted),
            .longest = pace_of_rings.longest};
  }

  void read(std::size_t group, Rows& rows) override {
    Ring& ring = rings_[group];
    const Nanoseconds now = rows.clock().now();
    const Nanoseconds to_wall = rows.clock().unix_now() - now;
    const bool is_first = ring.last == Nanoseconds::min();
    const auto since = is_first ? Nanoseconds(0) : ring.last + to_wall;
    auto count = static_cast<std::uint32_t>(samples_.size());
    nvml::ValueType type{};
    const nvml::Return result = gpu_->nvmlDeviceGetSamples(
        gpu_.device(), ring.type,
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since).count()), &type, &count,
        samples_.data());
    if (result != nvml::success && result != nvml::not_found) {  // not found: nothing new
      rows.row()[0] = Reading::none(nvml::reason_of(result));
      rows.add(now, rows.clock().now());
      return;
    }
    if (result == nvml::not_found) return;
    // What the ring held before the recording began is not part of it.
    if (is_first) ring.last = now;
    std::sort(samples_.begin(), samples_.begin() + count,
              [](const auto& a, const auto& b) { return a.timestamp_us < b.timestamp_us; });
    for (std::uint32_t i = 0; i < count; ++i) {
      const Nanoseconds when = std::chrono::microseconds(samples_[i].timestamp_us) - to_wall;
      // Stamps of the future are those of a wall clock that was set back since.
      if (when <= ring.last || when > now + stamp_error) continue;
      rows.row()[0] = Reading::of(nvml::number_of(samples_[i].value, type) * ring.scale);
      rows.add(when, when);
      ring.last = when;
    }
  }

 private:
  void add(nvml::SamplingType type, double scale, Counter counter) {
    if (!has_samples(gpu_, type)) return;
    rings_.push_back({.type = type, .scale = scale});
    add_group({std::move(counter)});
  }

  std::vector<Ring> rings_;  // one a group
  std::vector<nvml::Sample> samples_;
};

}  // namespace

bool has_samples(const NvmlGpu& gpu, nvml::SamplingType type) {
  nvml::ValueType value_type{};
  std::uint32_t count = 0;
  const nvml::Return result = gpu->nvmlDeviceGetSamples(gpu.device(), type, 0, &value_type, &count, nullptr);
  return (result == nvml::success && count > 0) || result == nvml::insufficient_size;
}

std::unique_ptr<Source> samples_source(const NvmlGpu& gpu) { return std::make_unique<SamplesSource>(gpu); }

}  // namespace batchscope
