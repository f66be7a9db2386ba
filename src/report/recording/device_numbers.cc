// Numbers of devices (report/recording/device_numbers.h).
#include "report/recording/device_numbers.h"

#include <algorithm>
#include <map>

namespace batchscope {
namespace {

// "gpu:0" of "gpu:0 (GPU-1a2b3c4d)", "cpu:1" of "cpu:1 (pid 4711)".
std::string short_name(const std::string& device) { return device.substr(0, device.find(" (")); }

std::optional<KnownTotal> total_of(const CounterSummary& counter) {
  const auto total = counter.total();
  if (!total) return std::nullopt;
  return KnownTotal{.value = *total, .is_complete = counter.total_is_complete()};
}

std::optional<double> greatest(const CounterSummary& counter) {
  return counter.count > 0 ? std::optional(counter.max) : std::nullopt;
}

void take(const CounterSummary& counter, DeviceNumbers& device) {
  const std::string& name = counter.counter.name;
  const auto is = [&](std::string_view other) { return name == other; };
  if (is("gpu_utilization_ratio")) device.utilisation = counter.mean();
  if (is("gpu_busy_seconds_total")) device.utilisation = counter.rate_per_s();
  if (is("gpu_sm_active_ratio")) device.sm_active = counter.mean();
  if (is("gpu_tensor_active_ratio")) device.tensor_active = counter.mean();
  if (is("gpu_dram_active_ratio")) device.dram_active = counter.mean();
  if (is("gpu_power_watts")) device.power_w = counter.mean();
  if (is("gpu_energy_joules_total")) device.energy_j = total_of(counter);
  if (is("gpu_memory_used_bytes")) device.peak_memory_bytes = greatest(counter);
  if (is("gpu_memory_capacity_bytes")) device.capacity_bytes = greatest(counter);
  if (is("gpu_pcie_rx_bytes_total")) device.pcie_in = total_of(counter);
  if (is("gpu_pcie_tx_bytes_total")) device.pcie_out = total_of(counter);
  if (is("gpu_nvlink_rx_bytes_total") || is("link_rx_bytes_total")) device.link_in = total_of(counter);
  if (is("gpu_nvlink_tx_bytes_total") || is("link_tx_bytes_total")) device.link_out = total_of(counter);
  if (is("gpu_clocks_power_capped_ratio")) device.power_capped = counter.mean();
  if (is("gpu_clocks_thermal_ratio")) device.thermally_capped = counter.mean();
  if (is("gpu_clocks_slowdown_ratio")) device.slowed_down = counter.mean();
}

bool is_of_a_device(const CounterSummary& counter) {
  const std::string& name = counter.counter.name;
  return counter.count > 0 && (name.starts_with("gpu_") || name.starts_with("link_")) &&
         !name.starts_with("gpu_process_");
}

void add(std::optional<double>& sum, const std::optional<double>& value) {
  if (value) sum = sum.value_or(0) + *value;
}

}  // namespace

std::optional<KnownTotal> sum_of(std::span<const std::optional<KnownTotal>> totals) {
  std::optional<KnownTotal> sum;
  for (const auto& total : totals)
    if (total)
      sum = KnownTotal{.value = (sum ? sum->value : 0) + total->value,
                       .is_complete = (!sum || sum->is_complete) && total->is_complete};
  return sum;
}

std::vector<DeviceNumbers> device_numbers(std::span<const CounterSummary> counters) {
  std::vector<std::string> order;
  std::map<std::string, DeviceNumbers> by_device;
  std::map<std::string, int> of_name;
  for (const CounterSummary& counter : counters) {
    if (!is_of_a_device(counter)) continue;
    const std::string& device = counter.counter.device;
    const auto [found, is_new] = by_device.try_emplace(device);
    if (is_new) {
      order.push_back(device);
      found->second.is_virtual = counter.counter.is_virtual;
      const std::string name = short_name(device);
      found->second.is_part = name.starts_with("gpu:") && std::count(name.begin(), name.end(), ':') == 2;
      ++of_name[short_name(device)];
    }
    take(counter, found->second);
  }
  std::vector<DeviceNumbers> all;
  for (const std::string& device : order) {
    DeviceNumbers& numbers = by_device.at(device);
    numbers.label = of_name.at(short_name(device)) == 1 ? short_name(device) : device;
    all.push_back(std::move(numbers));
  }
  return all;
}

std::vector<GpuProcess> gpu_processes(std::span<const CounterSummary> counters) {
  // A process that left a GPU and came back has two counters there.
  std::map<std::string, std::map<std::string, double>> peaks;  // of each process on each GPU
  for (const CounterSummary& counter : counters) {
    if (counter.counter.name != "gpu_process_memory_bytes" || counter.count == 0) continue;
    const std::string& device = counter.counter.device;  // "gpu:0 python (pid 4711)"
    const auto blank = device.find(' ');
    if (blank == std::string::npos) continue;
    double& peak = peaks[device.substr(blank + 1)][device.substr(0, blank)];
    peak = std::max(peak, counter.max);
  }
  std::vector<GpuProcess> all;
  for (const auto& [name, on_gpus] : peaks) {
    GpuProcess process{.name = name};
    for (const auto& [gpu, peak] : on_gpus) {
      process.gpus.push_back(gpu);
      process.peak_bytes += peak;
    }
    all.push_back(std::move(process));
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.peak_bytes > b.peak_bytes; });
  return all;
}

std::size_t count_wholes(std::span<const DeviceNumbers> devices) {
  return static_cast<std::size_t>(
      std::count_if(devices.begin(), devices.end(), [](const DeviceNumbers& device) { return !device.is_part; }));
}

std::optional<double> sum_of(std::span<const DeviceNumbers> devices, std::optional<double> DeviceNumbers::*number) {
  std::optional<double> sum;
  for (const DeviceNumbers& device : devices)
    if (!device.is_part) add(sum, device.*number);
  return sum;
}

std::optional<double> mean_of(std::span<const DeviceNumbers> devices, std::optional<double> DeviceNumbers::*number) {
  const auto count = std::count_if(devices.begin(), devices.end(),
                                   [&](const DeviceNumbers& device) { return !device.is_part && device.*number; });
  const auto sum = sum_of(devices, number);
  return sum ? std::optional(*sum / static_cast<double>(count)) : std::nullopt;
}

std::optional<double> most_of(std::span<const DeviceNumbers> devices, std::optional<double> DeviceNumbers::*number) {
  std::optional<double> most;
  for (const DeviceNumbers& device : devices)
    if (!device.is_part && device.*number) most = std::max(most.value_or(*(device.*number)), *(device.*number));
  return most;
}

std::optional<KnownTotal> sum_of(std::span<const DeviceNumbers> devices,
                                 std::optional<KnownTotal> DeviceNumbers::*number) {
  std::vector<std::optional<KnownTotal>> totals;
  for (const DeviceNumbers& device : devices) totals.push_back(device.*number);
  return sum_of(totals);
}

HostNumbers host_numbers(std::span<const CounterSummary> counters) {
  HostNumbers host;
  for (const CounterSummary& counter : counters) {
    const std::string& name = counter.counter.name;
    if (name == "host_cpu_seconds_total") host.busy_cores = counter.rate_per_s();
    if (name == "host_memory_used_bytes") host.peak_memory_bytes = greatest(counter);
    if (name == "host_memory_total_bytes") host.memory_bytes = greatest(counter);
    if (name == "disk_read_bytes_total") add(host.disk_read_bytes, counter.total());
    if (name == "disk_written_bytes_total") add(host.disk_written_bytes, counter.total());
    if (counter.counter.device != "lo") {
      if (name == "network_receive_bytes_total") add(host.network_in_bytes, counter.total());
      if (name == "network_transmit_bytes_total") add(host.network_out_bytes, counter.total());
    }
    if (name == "process_cpu_seconds_total" && counter.source == "host") {
      host.command_cpu_s = counter.total();
      host.command_cores = counter.rate_per_s();
    }
    if (name == "process_resident_memory_bytes" && counter.source == "host")
      host.command_peak_memory_bytes = greatest(counter);
  }
  return host;
}

}  // namespace batchscope
