// What a recording says of each GPU (or virtual device), in the few numbers that everybody asks for first: a row of the
// terminal's summary and of the page's table.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "telemetry/summary/summary.h"

namespace batchscope {

// A cumulative counter's increase, and whether all of it is known.
struct KnownTotal {
  double value = 0;
  bool is_complete = true;
};
// Of several; incomplete where one is. Absent: none is there.
std::optional<KnownTotal> sum_of(std::span<const std::optional<KnownTotal>> totals);

struct DeviceNumbers {
  std::string label{};  // "gpu:0"; with its process where two processes have devices of that name
  bool is_virtual = false;
  bool is_part = false;  // of another of them (MIG, "gpu:0:1"), whose figures have its in them
  // Shares of the time: any kernel, as the driver counts; a warp on a multiprocessor; tensor cores; memory bandwidth.
  std::optional<double> utilisation{}, sm_active{}, tensor_active{}, dram_active{};
  std::optional<double> power_w{};
  std::optional<KnownTotal> energy_j{};
  std::optional<double> peak_memory_bytes{}, capacity_bytes{};
  std::optional<KnownTotal> pcie_in{}, pcie_out{};  // bytes
  std::optional<KnownTotal> link_in{}, link_out{};  // bytes over NVLink, or over a virtual device's link
  // Shares of the time in which clocks were held down.
  std::optional<double> power_capped{}, thermally_capped{}, slowed_down{};
};
std::vector<DeviceNumbers> device_numbers(std::span<const CounterSummary> counters);

// Memory of one process, on all GPUs together.
struct GpuProcess {
  std::string name{};               // "python (pid 4711)"
  std::vector<std::string> gpus{};  // "gpu:0"
  double peak_bytes = 0;            // the sum of its peaks
};
// Those that took the most first.
std::vector<GpuProcess> gpu_processes(std::span<const CounterSummary> counters);

std::size_t count_wholes(std::span<const DeviceNumbers> devices);
// The mean over some devices, but for parts of others; absent where none has it.
std::optional<double> mean_of(std::span<const DeviceNumbers> devices, std::optional<double> DeviceNumbers::*number);
std::optional<double> sum_of(std::span<const DeviceNumbers> devices, std::optional<double> DeviceNumbers::*number);
std::optional<double> most_of(std::span<const DeviceNumbers> devices, std::optional<double> DeviceNumbers::*number);
std::optional<KnownTotal> sum_of(std::span<const DeviceNumbers> devices,
                                 std::optional<KnownTotal> DeviceNumbers::*number);

// The host and the command, over the whole recording.
struct HostNumbers {
  std::optional<double> busy_cores{}, peak_memory_bytes{}, memory_bytes{};
  std::optional<double> disk_read_bytes{}, disk_written_bytes{}, network_in_bytes{}, network_out_bytes{};
  // Of the command, or of --pid, with descendants; absent without one.
  std::optional<double> command_cpu_s{}, command_cores{}, command_peak_memory_bytes{};
};
HostNumbers host_numbers(std::span<const CounterSummary> counters);

}  // namespace batchscope
