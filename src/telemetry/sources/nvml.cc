// Which sources a GPU has (sources/nvml.h).
#include "telemetry/sources/nvml.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "base/error.h"

namespace batchscope {

namespace {

struct Listed {
  std::vector<NvmlGpu> gpus{};
  std::vector<nvml::Refusal> missing{};
};

Listed list_gpus(const GpuChoice& choice) {
  std::string why;
  const auto library = nvml::library(&why);
  if (!library) return {.missing = {{.why = why}}};
  Listed listed;
  for (nvml::Gpu& gpu : library->gpus(&listed.missing, [&](int index) { return choice.may_want(index); }))
    listed.gpus.push_back({.library = library, .gpu = std::move(gpu)});
  return listed;
}

}  // namespace

std::vector<NvmlGpu> nvml_gpus(std::vector<nvml::Refusal>* missing, const GpuChoice& choice) {
  Listed listed = list_gpus(choice);
  if (std::string problem = choice.problem(listed.gpus, listed.missing); !problem.empty()) {
    const Listed all = list_gpus({});  // to be named
    const std::string better = choice.problem(all.gpus, all.missing);
    throw InputError("{}", better.empty() ? problem : better);
  }
  choice.keep(listed.gpus, listed.missing);
  if (missing != nullptr) *missing = std::move(listed.missing);
  return std::move(listed.gpus);
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
  const auto add = [&](const NvmlGpu& gpu) {
    values[gpu.label()] = fmt::format("{}, {}, {}", gpu.gpu.name, gpu.gpu.uuid, gpu.gpu.bus_id);
  };
  for (const NvmlGpu& gpu : gpus) {
    add(gpu);
    if (shares_host_memory(gpu)) values[gpu.label()] += fmt::format(", {}", shared_memory_fact);
    for (const NvmlGpu& instance : mig_instances(gpu)) add(instance);
  }
  return values;
}

std::vector<NvmlGpu> mig_instances(const NvmlGpu& gpu) {
  std::vector<NvmlGpu> all;
  for (nvml::Gpu& instance : gpu.library->instances(gpu.gpu))
    all.push_back({.library = gpu.library, .gpu = std::move(instance)});
  return all;
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
  const std::vector<NvmlGpu> instances = mig_instances(gpu);
  if (instances.empty()) sources.push_back(processes_source(gpu));  // else each is one of theirs
  if (has_gpm(gpu)) {
    sources.push_back(gpm_source(gpu));
    sources.push_back(gpm_engine_source(gpu));
  }
  for (const NvmlGpu& instance : instances) {
    sources.push_back(gauges_source(instance));
    sources.push_back(processes_source(instance));
    if (has_gpm(gpu)) sources.push_back(gpm_source(instance));
  }
  return sources;
}

}  // namespace batchscope
