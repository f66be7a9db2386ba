// The driver's rings of samples (sources/nvml.h).
#include <algorithm>
#include <utility>

#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

constexpr std::uint32_t most_samples = 512;
constexpr Nanoseconds soonest = std::chrono::milliseconds(100), most_often = std::chrono::milliseconds(500),
                      least_often = std::chrono::seconds(1);
constexpr Nanoseconds stamp_error = std::chrono::milliseconds(20);  // a sample may be stamped so much after now

// The shortest time in which a driver was seen or is said to renew them.
constexpr Nanoseconds utilization_refresh = std::chrono::milliseconds(166),
                      power_refresh = std::chrono::milliseconds(20);

struct Ring {
  nvml::SamplingType type{};
  double scale = 1;                      // of its values, to the counter's unit
  Nanoseconds last{Nanoseconds::min()};  // sample taken, monotonic
};

class SamplesSource : public NvmlSource {
 public:
  SamplesSource(const NvmlGpu& gpu, std::string kind, Nanoseconds refresh)
      : NvmlSource(gpu, std::move(kind)), refresh_(refresh), samples_(most_samples) {}

  void add(nvml::SamplingType type, double scale, Counter counter) {
    const std::uint32_t kept = samples_kept(gpu_, type);
    if (kept == 0) return;
    least_kept_ = std::min(least_kept_, kept);
    rings_.push_back({.type = type, .scale = scale});
    add_group({std::move(counter)});
  }

  // Often enough that no sample is overwritten before it was read, and that who looks on need not wait for its end.
  Pace pace(Nanoseconds asked) const override {
    const Nanoseconds longest = std::min<Nanoseconds>(refresh_ * least_kept_ * 3 / 4, longest_relaxed_period);
    // Every value comes in any case; who asks for more than six a second wants it soon.
    const Nanoseconds wanted = std::min(std::max(asked, asked < curve_period ? soonest : most_often), longest);
    return {.wanted = wanted, .longest = longest, .curve = std::max(wanted, least_often)};
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
  Nanoseconds refresh_;
  std::uint32_t least_kept_ = most_samples;
  std::vector<Ring> rings_;  // one a group
  std::vector<nvml::Sample> samples_;
};

}  // namespace

std::uint32_t samples_kept(const NvmlGpu& gpu, nvml::SamplingType type) {
  nvml::ValueType value_type{};
  std::uint32_t count = 0;
  const nvml::Return result = gpu->nvmlDeviceGetSamples(gpu.device(), type, 0, &value_type, &count, nullptr);
  return result == nvml::success || result == nvml::insufficient_size ? count : 0;
}

Counter utilization_counter(const NvmlGpu& gpu) {
  return gpu.real_counter("gpu_utilization_ratio", "ratio", CounterKind::window,
                          "share of the driver's window in which any kernel ran");
}
Counter memory_utilization_counter(const NvmlGpu& gpu) {
  return gpu.real_counter("gpu_memory_utilization_ratio", "ratio", CounterKind::window,
                          "share of the driver's window in which memory was read or written");
}
Counter power_counter(const NvmlGpu& gpu) {
  return gpu.real_counter("gpu_power_watts", "watts", CounterKind::window, "power drawn, as the sensor averages it");
}

std::unique_ptr<Source> utilization_samples_source(const NvmlGpu& gpu) {
  auto source = std::make_unique<SamplesSource>(gpu, "utilization", utilization_refresh);
  source->add(nvml::samples_gpu_utilization, 0.01, utilization_counter(gpu));
  source->add(nvml::samples_memory_utilization, 0.01, memory_utilization_counter(gpu));
  return source;
}

std::unique_ptr<Source> power_samples_source(const NvmlGpu& gpu) {
  auto source = std::make_unique<SamplesSource>(gpu, "power", power_refresh);
  source->add(nvml::samples_power, 0.001, power_counter(gpu));
  return source;
}

}  // namespace batchscope
