// What a GPU is (doctor/gpu_description.h).
#include "doctor/gpu_description.h"

#include <array>

#include "base/attempt.h"
#include "base/error.h"
#include "cuda_driver/library.h"
#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

std::optional<std::int64_t> known(std::uint64_t value, nvml::Return result) {
  if (result != nvml::success) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

void describe_mig(const NvmlGpu& gpu, GpuDescription& out) {
  std::uint32_t current = 0, pending = 0, most = 0;
  const nvml::Return result = gpu->nvmlDeviceGetMigMode(gpu.device(), &current, &pending);
  out.mig = result != nvml::success ? nvml::reason_of(result) : current != 0 ? "on" : "off";
  if (result != nvml::success || current == 0) return;
  if (gpu->nvmlDeviceGetMaxMigDeviceCount(gpu.device(), &most) != nvml::success) return;
  for (std::uint32_t i = 0; i < most; ++i) {
    nvml::Device instance = nullptr;
    std::array<char, nvml::uuid_size> uuid{};
    if (gpu->nvmlDeviceGetMigDeviceHandleByIndex(gpu.device(), i, &instance) != nvml::success ||
        gpu->nvmlDeviceGetUUID(instance, uuid.data(), uuid.size()) != nvml::success)
      continue;
    nvml::MemoryV2 memory;
    const nvml::Return stored = gpu->nvmlDeviceGetMemoryInfo_v2(instance, &memory);
    out.mig_instances.push_back({.uuid = uuid.data(), .memory_bytes = known(memory.total, stored)});
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

}  // namespace

std::vector<GpuDescription> describe(const std::vector<NvmlGpu>& gpus) {
  if (gpus.empty()) return {};
  Attempt<std::vector<cuda::Gpu>> cuda(shown_by_cuda);
  const auto shown = cuda.wait_for(nvml::driver_patience()).value_or(std::vector<cuda::Gpu>());
  std::vector<GpuDescription> all;
  for (const NvmlGpu& gpu : gpus) {
    Attempt<GpuDescription> attempt([gpu, shown] { return describe(gpu, shown); });
    // Of one that does not answer what was known of it before.
    all.push_back(attempt.wait_for(std::chrono::seconds(5))
                      .value_or(GpuDescription{
                          .label = gpu.label(), .name = gpu.gpu.name, .uuid = gpu.gpu.uuid, .bus_id = gpu.gpu.bus_id}));
  }
  return all;
}

}  // namespace batchscope
