// Charts of series (report/page/series_chart.h).
#include "report/page/series_chart.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>

namespace batchscope {
namespace {

// In the order of the charts. Where `instead_of` is given, that series of the same device is not drawn.
struct Row {
  std::string_view name;
  const char* title;
  const char* quantity;
  std::string_view instead_of{};
};
constexpr std::array rows{
    Row{"gpu_utilization_ratio", "Utilisation: time with any kernel running", "share"},
    Row{"gpu_busy_seconds_total", "Utilisation: time with any kernel running", "share"},
    Row{"gpu_sm_active_ratio", "SM activity", "share"},
    Row{"gpu_tensor_active_ratio", "Tensor cores", "share"},
    Row{"gpu_dram_active_ratio", "Memory bandwidth in use", "share", "gpu_memory_utilization_ratio"},
    Row{"gpu_memory_utilization_ratio", "Memory bandwidth in use", "share"},
    Row{"gpu_nvlink_rx_bytes_per_second", "NVLink: received", "bytes_per_s", "gpu_nvlink_rx_bytes_total"},
    Row{"gpu_nvlink_rx_bytes_total", "NVLink: received", "bytes_per_s"},
    Row{"gpu_nvlink_tx_bytes_per_second", "NVLink: sent", "bytes_per_s", "gpu_nvlink_tx_bytes_total"},
    Row{"gpu_nvlink_tx_bytes_total", "NVLink: sent", "bytes_per_s"},
    Row{"link_rx_bytes_total", "Links: received", "bytes_per_s"},
    Row{"link_tx_bytes_total", "Links: sent", "bytes_per_s"},
    Row{"gpu_pcie_rx_bytes_per_second", "PCIe: received", "bytes_per_s", "gpu_pcie_rx_bytes_total"},
    Row{"gpu_pcie_rx_bytes_total", "PCIe: received", "bytes_per_s"},
    Row{"gpu_pcie_tx_bytes_per_second", "PCIe: sent", "bytes_per_s", "gpu_pcie_tx_bytes_total"},
    Row{"gpu_pcie_tx_bytes_total", "PCIe: sent", "bytes_per_s"},
    Row{"gpu_power_watts", "Power", "watts", "gpu_energy_joules_total"},
    Row{"gpu_energy_joules_total", "Power", "watts"},
    Row{"gpu_memory_used_bytes", "Memory in use", "bytes"},
    Row{"gpu_process_utilization_ratio", "Utilisation by process", "share"},
    Row{"gpu_process_memory_bytes", "Memory in use by process", "bytes"},
    Row{"gpu_sm_clock_hertz", "SM clock", "hertz"},
    Row{"gpu_clocks_power_capped_ratio", "Clocks held down by the power limit", "share"},
    Row{"gpu_clocks_thermal_ratio", "Clocks held down by the temperature", "share"},
    Row{"gpu_clocks_slowdown_ratio", "Clocks held down by the board (slowdown)", "share"},
    Row{"gpu_temperature_celsius", "Temperature", "celsius"},
    Row{"host_cpu_seconds_total", "CPU of the host and of the command", "cores"},
    Row{"process_cpu_seconds_total", "CPU of the host and of the command", "cores"},
    Row{"host_memory_used_bytes", "Memory of the host and of the command", "bytes"},
    Row{"process_resident_memory_bytes", "Memory of the host and of the command", "bytes"},
    Row{"disk_read_bytes_total", "Disks: read", "bytes_per_s"},
    Row{"disk_written_bytes_total", "Disks: written", "bytes_per_s"},
    Row{"network_receive_bytes_total", "Network: received", "bytes_per_s"},
    Row{"network_transmit_bytes_total", "Network: sent", "bytes_per_s"},
};

// An inference server's own numbers, by what stands in their names. They come behind its latencies.
struct ServerRow {
  std::string_view in_name;
  const char* title;
  const char* quantity;
};
constexpr std::array server_rows{
    ServerRow{"requests_running", "Server: requests running and waiting", "count"},
    ServerRow{"requests_waiting", "Server: requests running and waiting", "count"},
    ServerRow{"running_reqs", "Server: requests running and waiting", "count"},
    ServerRow{"queue_reqs", "Server: requests running and waiting", "count"},
    ServerRow{"queue_size", "Server: requests running and waiting", "count"},
    ServerRow{"batch_current_size", "Server: requests running and waiting", "count"},
    ServerRow{"prompt_tokens_total", "Server: tokens per second", "per_s"},
    ServerRow{"generation_tokens_total", "Server: tokens per second", "per_s"},
    ServerRow{"cache_usage", "Server: KV cache in use", "share"},
    ServerRow{"token_usage", "Server: KV cache in use", "share"},
    ServerRow{"process_cpu_seconds_total", "Server: CPU of its process", "cores"},
    ServerRow{"process_resident_memory_bytes", "Server: memory of its process", "bytes"},
};

constexpr int latency_order = 100, server_order = 200;

template <class Rows>
int place_of_title(const Rows& all, std::string_view title) {
  return static_cast<int>(std::find_if(all.begin(), all.end(), [&](const auto& row) { return row.title == title; }) -
                          all.begin());
}

std::optional<SeriesChart> server_chart(const SeriesRecord& series) {
  for (const ServerRow& row : server_rows)
    if (series.name.find(row.in_name) != std::string::npos)
      return SeriesChart{
          .order = server_order + place_of_title(server_rows, row.title), .title = row.title, .quantity = row.quantity};
  return std::nullopt;
}

}  // namespace

std::vector<std::optional<SeriesChart>> series_charts(std::span<const SeriesRecord> series) {
  using Key = std::pair<std::string_view, std::string_view>;  // device and name
  std::set<Key> replaced;
  for (const SeriesRecord& one : series)
    for (const Row& row : rows)
      if (row.name == one.name && !row.instead_of.empty()) replaced.emplace(one.device, row.instead_of);
  std::vector<std::optional<SeriesChart>> charts;
  for (const SeriesRecord& one : series) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& other) { return other.name == one.name; });
    if (one.source.starts_with("scrape"))
      charts.push_back(server_chart(one));
    else if (row == rows.end() || replaced.contains(Key(one.device, one.name)))
      charts.push_back(std::nullopt);
    else
      charts.push_back(
          SeriesChart{.order = place_of_title(rows, row->title), .title = row->title, .quantity = row->quantity});
  }
  return charts;
}

SeriesChart latency_chart(const std::string& kind) {
  return {.order = latency_order, .title = "Server: " + kind, .quantity = "seconds"};
}

}  // namespace batchscope
