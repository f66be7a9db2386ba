// For tests: a machine of so many GPUs and virtual devices, with simple counters since the instant 100 s.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>

#include "top/screen.h"

namespace batchscope::top {

constexpr Nanoseconds test_begin = std::chrono::seconds(100);

inline Nanoseconds at_second(double seconds) { return test_begin + from_seconds(seconds); }

class TestMachine {
 public:
  explicit TestMachine(int gpus, int virtual_devices = 0, double seconds = 60) : seconds_(seconds) {
    add("host_cpu_seconds_total", "seconds", "host", CounterKind::cumulative, [](double t) { return 1.5 * t; });
    add("host_memory_used_bytes", "bytes", "host", CounterKind::gauge, [](double) { return 6.0 * (1 << 30); });
    add("host_memory_total_bytes", "bytes", "host", CounterKind::gauge, [](double) { return 16.0 * (1 << 30); });
    for (int i = 0; i < gpus; ++i) add_gpu(i);
    for (int i = 0; i < virtual_devices; ++i) add_virtual(i);
    environment["host"] = "node7";
    environment["cpus_usable"] = "4";
    environment["nvidia_driver"] = "580.1";
  }

  static std::string gpu(int index) { return fmt::format("gpu:{} (GPU-0000000{})", index, index); }

  // A counter with a value every half a second; time is counted from test_begin.
  Track& add(const std::string& name, const std::string& unit, const std::string& device, CounterKind kind,
             const std::function<double(double)>& value, bool is_virtual = false) {
    Track& track = tracks.add(
        {.name = name, .unit = unit, .device = device, .kind = kind, .is_virtual = is_virtual, .is_integer = false});
    for (double t = 0; t <= seconds_; t += 0.5) track.add(at_second(t), value(t));
    return track;
  }

  Observation observation(double seconds) const {
    return {.tracks = tracks, .at = at_second(seconds), .environment = environment};
  }
  Screen screen(std::size_t columns = 100) const { return make_screen(observation(seconds_), columns); }

  Tracks tracks;
  std::map<std::string, std::string> environment;

 private:
  void add_gpu(int index) {
    const std::string device = gpu(index);
    const auto gauge = [&](const char* name, const char* unit, double value, CounterKind kind = CounterKind::gauge) {
      add(name, unit, device, kind, [value](double) { return value; });
    };
    gauge("gpu_utilization_ratio", "ratio", 0.83, CounterKind::window);
    gauge("gpu_sm_active_ratio", "ratio", 0.71, CounterKind::window);
    gauge("gpu_tensor_active_ratio", "ratio", 0.45, CounterKind::window);
    gauge("gpu_dram_active_ratio", "ratio", 0.3, CounterKind::window);
    gauge("gpu_memory_used_bytes", "bytes", 60.0 * (1 << 30));
    gauge("gpu_memory_reserved_bytes", "bytes", 600.0 * (1 << 20));
    gauge("gpu_memory_capacity_bytes", "bytes", 140.0 * (1 << 30));
    gauge("gpu_power_watts", "watts", 412, CounterKind::window);
    gauge("gpu_power_limit_watts", "watts", 700);
    gauge("gpu_temperature_celsius", "celsius", 62);
    gauge("gpu_sm_clock_hertz", "hertz", 1980e6);
    gauge("gpu_memory_clock_hertz", "hertz", 3201e6);
    gauge("gpu_clocks_power_capped_ratio", "ratio", 1);
    const auto bytes = [&](const char* name, double rate) {
      add(name, "bytes", device, CounterKind::cumulative, [rate](double t) { return rate * t; });
    };
    bytes("gpu_pcie_tx_bytes_total", 2.0 * (1 << 30));
    bytes("gpu_pcie_rx_bytes_total", 50.0 * (1 << 30));
    bytes("gpu_nvlink_tx_bytes_total", 0);
    bytes("gpu_nvlink_rx_bytes_total", 100.0 * (1 << 30));
    add("gpu_process_memory_bytes", "bytes", fmt::format("gpu:{} python (pid {})", index, 42 + index),
        CounterKind::gauge, [index](double) { return (40.0 + index) * (1 << 30); });
    environment[fmt::format("gpu:{}", index)] = fmt::format("NVIDIA H200, GPU-0000000{}, 0000:0{}:00.0", index, index);
  }

  void add_virtual(int index) {
    const std::string device = fmt::format("cpu:{} (pid 7)", index);
    const auto cumulative = [&](const char* name, const char* unit, double rate) {
      add(
          name, unit, device, CounterKind::cumulative, [rate](double t) { return rate * t; }, true);
    };
    cumulative("gpu_busy_seconds_total", "seconds", 0.5);
    cumulative("link_tx_bytes_total", "bytes", 3.0 * (1 << 20));
    cumulative("link_rx_bytes_total", "bytes", 3.0 * (1 << 20));
    add(
        "gpu_memory_used_bytes", "bytes", device, CounterKind::gauge, [](double) { return 12.0 * (1 << 20); }, true);
  }

  double seconds_;
};

}  // namespace batchscope::top
