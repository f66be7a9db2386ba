// Which sources a GPU has (sources/nvml.h).
#include "telemetry/sources/nvml.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

namespace batchscope {

std::vector<NvmlGpu> nvml_gpus(std::vector<nvml::Refusal>* missing) {
  std::string why;
  const auto library = nvml::library(&why);
  if (!library) {
    if (missing != nullptr) missing->push_back({.why = why});
    return {};
  }
  std::vector<NvmlGpu> gpus;
  for (nvml::Gpu& gpu : library->gpus(missing)) gpus.push_back({.library = library, .gpu = std::move(gpu)});
  return gpus;
}

bool are_gpus_expected() {
  std::error_code ignored;
  return std::filesystem::exists("/proc/driver/nvidia/version", ignored) || nvml::is_installed();
}

std::map<std::string, std::string> gpu_environment(const std::vector<NvmlGpu>& gpus) {
  std::map<std::string, std::string> values;
  if (gpus.empty()) return values;
  if (const auto driver = gpus[0].library->driver_version()) values["nvidia_driver"] = *driver;
  if (const auto version = gpus[0].library->nvml_version()) values["nvml"] = *version;
  for (const NvmlGpu& gpu : gpus)
    values[gpu.label()] = fmt::format("{}, {}, {}", gpu.gpu.name, gpu.gpu.uuid, gpu.gpu.bus_id);
  return values;
}

std::vector<std::unique_ptr<Source>> nvml_sources(const NvmlGpu& gpu) {
  std::vector<std::unique_ptr<Source>> sources;
  sources.push_back(pcie_source(gpu));
  if (has_nvlink(gpu)) sources.push_back(nvlink_source(gpu));
  sources.push_back(utilization_samples_source(gpu));
  sources.push_back(power_samples_source(gpu));
  sources.push_back(gauges_source(gpu));
  sources.push_back(energy_source(gpu));
  sources.push_back(health_source(gpu));
  sources.push_back(processes_source(gpu));
  if (has_gpm(gpu)) {
    sources.push_back(gpm_source(gpu));
    sources.push_back(gpm_engine_source(gpu));
  }
  return sources;
}

}  // namespace batchscope
