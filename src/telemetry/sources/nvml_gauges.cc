// Levels of a GPU (sources/nvml.h).
#include <algorithm>
#include <functional>

#include "base/procfs.h"
#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

// What holds clocks down, each as a gauge of 0 or 1: its mean is the share of readings in which it did.
struct ClockLimit {
  const char* name;
  std::uint64_t reason;
  const char* help;
};
constexpr ClockLimit clock_limits[] = {
    {"gpu_clocks_power_capped_ratio", nvml::reason_power_cap, "clocks are held down by the power limit"},
    {"gpu_clocks_thermal_ratio", nvml::reason_sw_thermal | nvml::reason_hw_thermal,
     "clocks are held down by the temperature"},
    {"gpu_clocks_slowdown_ratio", nvml::reason_hw_slowdown | nvml::reason_power_brake,
     "the board cuts clocks to a half or less: power brake, overheating"},
    {"gpu_clocks_locked_ratio", nvml::reason_application_clocks | nvml::reason_display_clocks,
     "clocks are fixed by a setting"},
};
constexpr std::size_t clock_limit_count = std::size(clock_limits);
constexpr std::int64_t mega = 1'000'000;

class GaugesSource : public NvmlSource {
 public:
  explicit GaugesSource(const NvmlGpu& gpu)
      : NvmlSource(gpu, "gauges"), shares_memory_(shares_host_memory(gpu)), has_parts_(!mig_instances(gpu).empty()) {
    if (gpu.gpu.instance) {
      add(memory_counters(), [this](std::span<Reading> out) { read_memory(out); });
      return;
    }
    std::vector<Counter> counters = memory_counters();
    counters.push_back(gpu_.counter("gpu_sm_clock_hertz", "hertz", CounterKind::gauge, "clock of the multiprocessors"));
    counters.push_back(gpu_.counter("gpu_memory_clock_hertz", "hertz", CounterKind::gauge, "clock of the memory"));
    counters.push_back(
        gpu_.counter("gpu_temperature_celsius", "celsius", CounterKind::gauge, "temperature of the GPU"));
    for (const ClockLimit& limit : clock_limits)
      counters.push_back(gpu_.counter(limit.name, "ratio", CounterKind::gauge, limit.help));
    add(std::move(counters), [this](std::span<Reading> out) {
      read_memory(out);
      out[3] = clock_of(nvml::clock_sm);
      out[4] = clock_of(nvml::clock_memory);
      out[5] = temperature();
      read_clock_limits(out.subspan(6));
    });
    add(
        {gpu_.real_counter("gpu_power_limit_watts", "watts", CounterKind::gauge,
                           "power above which clocks are held down")},
        [this](std::span<Reading> out) {
          std::uint32_t milliwatts = 0;
          const nvml::Return result = gpu_->nvmlDeviceGetEnforcedPowerLimit(gpu_.device(), &milliwatts);
          out[0] = reading_of(result, milliwatts * 1e-3);
        },
        true);
    add_what_has_no_ring();
    add_what_not_all_have();
  }

  Pace pace(Nanoseconds asked) const override { return Pace::main_curve(asked); }
  void read(std::size_t group, Rows& rows) override {
    Reader& reader = readers_[group];
    const Nanoseconds now = rows.clock().now();
    if (now < reader.next) return;
    reader.next = now + reader.least_distance;
    rows.add_now(reader.read);
  }

 private:
  struct Reader {
    std::function<void(std::span<Reading>)> read;
    Nanoseconds least_distance{0};  // between readings
    Nanoseconds next{Nanoseconds::min()};
  };

  void add(std::vector<Counter> counters, std::function<void(std::span<Reading>)> read, bool refreshes_slowly = false,
           Nanoseconds least_distance = Nanoseconds(0)) {
    add_group(std::move(counters), refreshes_slowly);
    readers_.push_back({.read = std::move(read), .least_distance = least_distance});
  }

  std::vector<Counter> memory_counters() const {
    if (shares_memory_)
      return {bytes("gpu_memory_used_bytes", "memory in use, by whomever: GPU and host share it"),
              bytes("gpu_memory_reserved_bytes", "memory reserved by driver and firmware"),
              bytes("gpu_memory_capacity_bytes", "size of the host's memory, which the GPU shares")};
    return {bytes("gpu_memory_used_bytes", "memory in use by processes"),
            bytes("gpu_memory_reserved_bytes", "memory reserved by driver and firmware"),
            bytes("gpu_memory_capacity_bytes", "size of the GPU's memory")};
  }

  Counter bytes(const char* name, const char* help) const {
    return gpu_.counter(name, "bytes", CounterKind::gauge, help);
  }

  void add_what_has_no_ring() {
    if (samples_kept(gpu_, nvml::samples_gpu_utilization) == 0)
      add(
          {utilization_counter(gpu_), memory_utilization_counter(gpu_)},
          [this](std::span<Reading> out) {
            nvml::Utilization use;
            const nvml::Return result = gpu_->nvmlDeviceGetUtilizationRates(gpu_.device(), &use);
            out[0] = reading_of(result, use.gpu / 100.0);
            out[1] = reading_of(result, use.memory / 100.0);
            if (result == nvml::not_supported && has_parts_)
              out[0] = out[1] = Reading::none("the driver does not measure it while MIG is on");
          },
          true);
    if (samples_kept(gpu_, nvml::samples_power) == 0)
      add(
          {power_counter(gpu_)},
          [this](std::span<Reading> out) {
            std::uint32_t milliwatts = 0;
            const nvml::Return result = gpu_->nvmlDeviceGetPowerUsage(gpu_.device(), &milliwatts);
            out[0] = reading_of(result, milliwatts * 1e-3);
          },
          true);
  }

  // Encoders, decoders and fans: a counter each where the GPU has it.
  void add_what_not_all_have() {
    constexpr Nanoseconds least_distance = std::chrono::seconds(1);
    const auto add_percent = [&](const char* name, const char* help, auto ask) {
      const auto read = [this, ask](std::span<Reading> out) {
        std::uint32_t percent = 0;
        const nvml::Return result = ask(percent);
        out[0] = reading_of(result, percent / 100.0);
      };
      std::uint32_t percent = 0;
      const nvml::Return result = ask(percent);
      if (result == nvml::not_supported || result == nvml::function_not_found) return;
      add({gpu_.real_counter(name, "ratio", CounterKind::window, help)}, read, true, least_distance);
    };
    add_percent("gpu_encoder_utilization_ratio", "share of the driver's window in which video was encoded",
                [this](std::uint32_t& percent) {
                  std::uint32_t window_us = 0;
                  return gpu_->nvmlDeviceGetEncoderUtilization(gpu_.device(), &percent, &window_us);
                });
    add_percent("gpu_decoder_utilization_ratio", "share of the driver's window in which video was decoded",
                [this](std::uint32_t& percent) {
                  std::uint32_t window_us = 0;
                  return gpu_->nvmlDeviceGetDecoderUtilization(gpu_.device(), &percent, &window_us);
                });
    add_percent("gpu_fan_speed_ratio", "speed that the fan is set to, of its greatest",
                [this](std::uint32_t& percent) { return gpu_->nvmlDeviceGetFanSpeed(gpu_.device(), &percent); });
  }

  // The first form counts what is reserved as used.
  void read_memory(std::span<Reading> out) const {
    if (shares_memory_) return read_host_memory(out);
    nvml::MemoryV2 memory;
    const nvml::Return result = gpu_->nvmlDeviceGetMemoryInfo_v2(gpu_.device(), &memory);
    if (result == nvml::success) {
      out[0] = Reading::of(static_cast<std::int64_t>(memory.used));
      out[1] = Reading::of(static_cast<std::int64_t>(memory.reserved));
      out[2] = Reading::of(static_cast<std::int64_t>(memory.total));
      return;
    }
    nvml::Memory old;
    const nvml::Return old_result = gpu_->nvmlDeviceGetMemoryInfo(gpu_.device(), &old);
    out[0] = reading_of(old_result, static_cast<std::int64_t>(old.used));
    out[1] = Reading::none(nvml::reason_of(result));
    out[2] = reading_of(old_result, static_cast<std::int64_t>(old.total));
  }

  static void read_host_memory(std::span<Reading> out) {
    const auto text = read_small_file("/proc/meminfo");
    const auto memory = text ? parse_meminfo(*text) : std::nullopt;
    out[1] = Reading::none("GPU and host share one memory: the driver says nothing of it");
    if (!memory) {
      out[0] = out[2] = Reading::none("/proc/meminfo cannot be read");
      return;
    }
    out[0] = Reading::of(memory->total_bytes - memory->available_bytes);
    out[2] = Reading::of(memory->total_bytes);
  }

  Reading clock_of(nvml::ClockType type) const {
    std::uint32_t mhz = 0;
    const nvml::Return result = gpu_->nvmlDeviceGetClockInfo(gpu_.device(), type, &mhz);
    return reading_of(result, mhz * mega);
  }

  Reading temperature() const {
    std::uint32_t celsius = 0;
    const nvml::Return result = gpu_->nvmlDeviceGetTemperature(gpu_.device(), 0, &celsius);
    return reading_of(result, std::int64_t{celsius});
  }

  void read_clock_limits(std::span<Reading> out) const {
    std::uint64_t reasons = 0;
    nvml::Return result = gpu_->nvmlDeviceGetCurrentClocksEventReasons(gpu_.device(), &reasons);
    if (result == nvml::function_not_found)
      result = gpu_->nvmlDeviceGetCurrentClocksThrottleReasons(gpu_.device(), &reasons);
    for (std::size_t i = 0; i < clock_limit_count; ++i)
      out[i] = reading_of(result, std::int64_t{(reasons & clock_limits[i].reason) != 0 ? 1 : 0});
  }

  bool shares_memory_, has_parts_;
  std::vector<Reader> readers_;  // one a group
};

}  // namespace

// Another GPU's driver says the size at least.
bool shares_host_memory(const NvmlGpu& gpu) {
  nvml::MemoryV2 memory;
  nvml::Memory old;
  return gpu->nvmlDeviceGetMemoryInfo_v2(gpu.device(), &memory) == nvml::not_supported &&
         gpu->nvmlDeviceGetMemoryInfo(gpu.device(), &old) == nvml::not_supported;
}

std::unique_ptr<Source> gauges_source(const NvmlGpu& gpu) { return std::make_unique<GaugesSource>(gpu); }

}  // namespace batchscope
