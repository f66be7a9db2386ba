// What a GPU is (doctor/gpu_description.h).
#include "doctor/gpu_description.h"

#include <algorithm>

#include "base/attempt.h"
#include "base/error.h"
#include "cuda_driver/library.h"
#include "telemetry/nvml/sleeping_gpus.h"
#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

std::optional<std::int64_t> known(std::uint64_t value, nvml::Return result) {
  if (result != nvml::success) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

void describe_mig(const NvmlGpu& gpu, GpuDescription& out) {
  std::uint32_t current = 0, pending = 0;
  const nvml::Return result = gpu->nvmlDeviceGetMigMode(gpu.device(), &current, &pending);
  out.mig = result != nvml::success ? nvml::reason_of(result) : current != 0 ? "on" : "off";
  for (const NvmlGpu& instance : mig_instances(gpu)) {
    nvml::MemoryV2 memory;
    const nvml::Return stored = gpu->nvmlDeviceGetMemoryInfo_v2(instance.device(), &memory);
    out.mig_instances.push_back({.label = instance.label(),
                                 .profile = instance.gpu.mig_profile(),
                                 .uuid = instance.gpu.uuid,
                                 .memory_bytes = known(memory.total, stored)});
  }
}

GpuDescription describe(const NvmlGpu& gpu, const std::vector<cuda::Gpu>& shown) {
  GpuDescription out{.label = gpu.label(), .name = gpu.gpu.name, .uuid = gpu.gpu.uuid, .bus_id = gpu.gpu.bus_id};
  for (const cuda::Gpu& cuda : shown)
    if (cuda.uuid == gpu.gpu.uuid) out.cuda_ordinal = cuda.device;
  nvml::MemoryV2 memory;
  const nvml::Return stored = gpu->nvmlDeviceGetMemoryInfo_v2(gpu.device(), &memory);
  out.memory_bytes = known(memory.total, stored);
  out.memory_used_bytes = known(memory.used, stored);
  out.shares_host_memory = shares_host_memory(gpu);
  std::uint32_t generation = 0, lanes = 0;
  if (gpu->nvmlDeviceGetMaxPcieLinkGeneration(gpu.device(), &generation) == nvml::success)
    out.pcie_generation = static_cast<int>(generation);
  if (gpu->nvmlDeviceGetMaxPcieLinkWidth(gpu.device(), &lanes) == nvml::success)
    out.pcie_lanes = static_cast<int>(lanes);
  out.nvlinks = static_cast<int>(active_nvlinks(gpu).size());
  describe_mig(gpu, out);
  return out;
}

std::vector<cuda::Gpu> shown_by_cuda() {
  try {
    return cuda::Library().gpus();
  } catch (const Failure&) {  // doctor says why
    return {};
  }
}

// CUDA wakes all GPUs.
bool is_any_gpu_asleep() {
  const auto listed = nvml::pci_gpus();
  return std::any_of(listed.begin(), listed.end(), [](const nvml::PciGpu& gpu) { return gpu.is_suspended; });
}

}  // namespace

std::vector<GpuDescription> describe(const std::vector<NvmlGpu>& gpus) {
  if (gpus.empty()) return {};
  std::vector<cuda::Gpu> shown;
  const bool is_cuda_asked = !is_any_gpu_asleep();
  if (is_cuda_asked) {
    Attempt<std::vector<cuda::Gpu>> cuda(shown_by_cuda);
    shown = cuda.wait_for(nvml::driver_patience()).value_or(shown);
  }
  std::vector<GpuDescription> all;
  for (const NvmlGpu& gpu : gpus) {
    Attempt<GpuDescription> attempt([gpu, shown] { return describe(gpu, shown); });
    // Of one that does not answer what was known of it before.
    all.push_back(attempt.wait_for(std::chrono::seconds(5))
                      .value_or(GpuDescription{
                          .label = gpu.label(), .name = gpu.gpu.name, .uuid = gpu.gpu.uuid, .bus_id = gpu.gpu.bus_id}));
  }
  for (GpuDescription& gpu : all) gpu.is_cuda_asked = is_cuda_asked;
  return all;
}

}  // namespace batchscope
