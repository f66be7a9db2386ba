// NVML's counters (telemetry/calibration/counters.h).
#include "telemetry/calibration/counters.h"

#include "telemetry/nvml/field_values.h"

namespace batchscope::calibration {
namespace {

constexpr const char* by_fields = "nvmlDeviceGetFieldValues";

struct FieldCounter {
  const char *id, *name, *unit;
  std::uint32_t field, scope;
  double scale;
};
constexpr FieldCounter field_counters[] = {
    {"pcie_tx", "gpu_pcie_tx_bytes_total", "bytes", nvml::field_pcie_tx_bytes, 0, 1},
    {"pcie_rx", "gpu_pcie_rx_bytes_total", "bytes", nvml::field_pcie_rx_bytes, 0, 1},
    {"nvlink_tx", "gpu_nvlink_tx_bytes_total", "bytes", nvml::field_nvlink_data_tx_kib, nvml::all_links, 1024},
    {"nvlink_rx", "gpu_nvlink_rx_bytes_total", "bytes", nvml::field_nvlink_data_rx_kib, nvml::all_links, 1024},
    {"nvlink_raw_tx", "gpu_nvlink_raw_tx_bytes_total", "bytes", nvml::field_nvlink_raw_tx_kib, nvml::all_links, 1024},
    {"nvlink_raw_rx", "gpu_nvlink_raw_rx_bytes_total", "bytes", nvml::field_nvlink_raw_rx_kib, nvml::all_links, 1024},
};

NvmlCounter counter_of(const FieldCounter& counter, const nvml::Library& nvml, nvml::Device device) {
  const nvml::WantedField wanted[] = {{counter.field, counter.scope}};
  const auto read = [&nvml, device, &counter, fields = nvml::FieldValues(wanted)](double& value) mutable {
    const nvml::Return result = fields.read(nvml.functions(), device);
    if (result != nvml::success) return result;
    const nvml::FieldValue& field = fields.values()[0];
    value = nvml::number_of(field.value, field.type) * counter.scale;
    return field.result;
  };
  return {counter.id, counter.name, by_fields, counter.unit, read};
}

NvmlCounter pcie_window(const char* id, const char* name, nvml::PcieCounter direction, const nvml::Library& nvml,
                        nvml::Device device) {
  return {id, name, "nvmlDeviceGetPcieThroughput", "bytes per second", [&nvml, device, direction](double& value) {
            std::uint32_t kb_per_s = 0;
            const nvml::Return result = nvml->nvmlDeviceGetPcieThroughput(device, direction, &kb_per_s);
            value = 1000.0 * kb_per_s;
            return result;
          }};
}

NvmlCounter clock_of(const char* id, const char* name, nvml::ClockType type, const nvml::Library& nvml,
                     nvml::Device device) {
  return {id, name, "nvmlDeviceGetClockInfo", "hertz", [&nvml, device, type](double& value) {
            std::uint32_t mhz = 0;
            const nvml::Return result = nvml->nvmlDeviceGetClockInfo(device, type, &mhz);
            value = 1e6 * mhz;
            return result;
          }};
}

}  // namespace

std::vector<NvmlCounter> single_counters(const nvml::Library& nvml, nvml::Device device) {
  std::vector<NvmlCounter> counters{
      {"utilization", "gpu_utilization_ratio", "nvmlDeviceGetUtilizationRates", "ratio",
       [&nvml, device](double& value) {
         nvml::Utilization utilization;
         const nvml::Return result = nvml->nvmlDeviceGetUtilizationRates(device, &utilization);
         value = utilization.gpu / 100.0;
         return result;
       }},
      {"power", "gpu_power_watts", "nvmlDeviceGetPowerUsage", "watts",
       [&nvml, device](double& value) {
         std::uint32_t milliwatts = 0;
         const nvml::Return result = nvml->nvmlDeviceGetPowerUsage(device, &milliwatts);
         value = milliwatts / 1e3;
         return result;
       }},
      {"energy", "gpu_energy_joules_total", "nvmlDeviceGetTotalEnergyConsumption", "joules",
       [&nvml, device](double& value) {
         std::uint64_t millijoules = 0;
         const nvml::Return result = nvml->nvmlDeviceGetTotalEnergyConsumption(device, &millijoules);
         value = static_cast<double>(millijoules) / 1e3;
         return result;
       }},
      {"memory", "gpu_memory_used_bytes", "nvmlDeviceGetMemoryInfo_v2", "bytes",
       [&nvml, device](double& value) {
         nvml::MemoryV2 memory;
         const nvml::Return result = nvml->nvmlDeviceGetMemoryInfo_v2(device, &memory);
         value = static_cast<double>(memory.used);
         return result;
       }},
      clock_of("sm_clock", "gpu_sm_clock_hertz", nvml::clock_sm, nvml, device),
      clock_of("memory_clock", "gpu_memory_clock_hertz", nvml::clock_memory, nvml, device),
      pcie_window("pcie_tx_window", "gpu_pcie_tx_bytes_per_second", nvml::pcie_tx, nvml, device),
      pcie_window("pcie_rx_window", "gpu_pcie_rx_bytes_per_second", nvml::pcie_rx, nvml, device),
  };
  for (const FieldCounter& counter : field_counters) counters.push_back(counter_of(counter, nvml, device));
  return counters;
}

std::vector<RingCounter> ring_counters() {
  constexpr const char* call = "nvmlDeviceGetSamples";
  return {{"utilization_samples", "gpu_utilization_ratio", call, "ratio", nvml::samples_gpu_utilization, 0.01},
          {"power_samples", "gpu_power_watts", call, "watts", nvml::samples_power, 1e-3}};
}

std::vector<std::string> counter_ids() {
  std::vector<std::string> ids;
  for (const RingCounter& counter : ring_counters()) ids.push_back(counter.id);
  for (const char* id :
       {"utilization", "power", "energy", "memory", "sm_clock", "memory_clock", "pcie_tx_window", "pcie_rx_window"})
    ids.emplace_back(id);
  for (const FieldCounter& counter : field_counters) ids.emplace_back(counter.id);
  ids.emplace_back(gpm_id);
  return ids;
}

}  // namespace batchscope::calibration
