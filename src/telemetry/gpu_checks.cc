// Checks of GPUs (telemetry/gpu_checks.h).
#include "telemetry/gpu_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>

#include "base/error.h"
#include "telemetry/calibration/calibration.h"
#include "telemetry/collected_rows.h"
#include "telemetry/cuda/library.h"
#include "telemetry/sources/nvml.h"
#include "telemetry/sources/pm_sampling.h"

namespace batchscope {
namespace {

// Why a GPU lacks something; "" when it has it.
using Lack = std::function<std::string(const NvmlGpu&)>;

// By the source's own first reading of a counter.
Lack counter_of(std::unique_ptr<Source> (*make)(const NvmlGpu&), std::string name) {
  return [make, name](const NvmlGpu& gpu) -> std::string {
    const auto source = make(gpu);
    source->discover(monotonic_clock());
    for (std::size_t g = 0; g < source->groups().size(); ++g) {
      const auto& counters = source->groups()[g].counters;
      const auto found = std::find_if(counters.begin(), counters.end(), [&](const auto& c) { return c.name == name; });
      if (found == counters.end()) continue;
      const auto rows = read_rows(*source, g, monotonic_clock());
      if (rows.empty()) return "";  // it is there, and has nothing new yet
      const char* absent = rows[0].readings[static_cast<std::size_t>(found - counters.begin())].absent;
      return absent != nullptr ? absent : "";
    }
    return nvml::reason_of(nvml::not_supported);
  };
}

std::string lack_of_processes(const NvmlGpu& gpu) {
  std::uint32_t count = 0;
  const nvml::Return result = gpu->nvmlDeviceGetComputeRunningProcesses_v3(gpu.device(), &count, nullptr);
  return result == nvml::success || result == nvml::insufficient_size ? "" : nvml::reason_of(result);
}

std::string lack_of_xids(const NvmlGpu& gpu) {
  std::uint64_t types = 0;
  const nvml::Return result = gpu->nvmlDeviceGetSupportedEventTypes(gpu.device(), &types);
  if (result != nvml::success) return nvml::reason_of(result);
  return (types & nvml::event_xid) != 0 ? "" : nvml::reason_of(nvml::not_supported);
}

std::string lack_of_calibration(const NvmlGpu& gpu) {
  const auto driver = gpu.library->driver_version();
  if (!driver) return "the driver does not say its version";
  try {
    const auto found = calibration::calibration_of(gpu.gpu.name, *driver);
    return found.calibration ? "" : found.warning;
  } catch (const InputError& error) {
    return error.what();
  }
}

Check check_of(const char* id, const char* what, const std::vector<NvmlGpu>& gpus, const Lack& lack,
               const char* to_do) {
  Check check{.id = id, .what = what};
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const NvmlGpu& gpu : gpus) by_reason[lack(gpu)].push_back(gpu.label());
  check.present = by_reason.size() == 1 && by_reason.begin()->first.empty();
  std::vector<std::string> parts;
  for (const auto& [reason, labels] : by_reason)
    parts.push_back(fmt::format("{}: {}", fmt::join(labels, ", "), reason.empty() ? "there" : reason));
  check.why = fmt::format("{}", fmt::join(parts, "; "));
  if (!check.present) check.to_do = to_do;
  return check;
}

// The kernel driver is loaded: then its library must work.
bool has_kernel_driver() { return std::filesystem::exists("/proc/driver/nvidia/version"); }

Check check_nvml(const std::vector<NvmlGpu>& gpus, const std::vector<std::string>& why) {
  Check check{.id = "nvml", .present = !gpus.empty() && why.empty(), .what = "NVML, the counters of NVIDIA GPUs"};
  check.needed = has_kernel_driver() || !gpus.empty();
  if (check.present)
    check.why = fmt::format("driver {}, {} GPU{}", gpus[0].library->driver_version().value_or("unknown"), gpus.size(),
                            gpus.size() == 1 ? "" : "s");
  else
    check.why = fmt::format("{}", fmt::join(why, "; "));
  if (!check.present)
    check.to_do = check.needed ? "see what nvidia-smi says; a container takes --gpus all"
                               : "needed on GPU machines only: install the NVIDIA driver";
  return check;
}

Check check_pm_sampling(const std::vector<NvmlGpu>& gpus) {
  Check check{.id = "cupti", .what = "hardware counters of GPUs at kilohertz (record --pm)"};
  try {
    const auto sources = pm_sampling_sources(gpus, std::chrono::milliseconds(1));
    check.present = !sources.empty();
    check.why = check.present ? fmt::format("a session was begun on {} of {} GPUs", sources.size(), gpus.size())
                              : "CUDA shows none of the GPUs";
    if (!check.present) check.to_do = "unset CUDA_VISIBLE_DEVICES";
  } catch (const Error& error) {
    check.why = error.what();
    check.to_do =
        "install CUPTI of CUDA 12.6 or newer (CUDA_HOME, LD_LIBRARY_PATH); run as root or set "
        "NVreg_RestrictProfilingToAdminUsers=0; end other profilers";
  }
  return check;
}

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

}  // namespace

std::vector<Check> gpu_checks() {
  std::vector<std::string> why;
  const std::vector<NvmlGpu> gpus = nvml_gpus(&why);
  std::vector<Check> checks{check_nvml(gpus, why)};
  if (gpus.empty()) return checks;
  constexpr const char* newer_driver = "update the driver: 555 or newer has it on GPUs from Volta on";
  checks.push_back(check_of("pcie-bytes", "exact PCIe bytes", gpus, counter_of(pcie_source, "gpu_pcie_tx_bytes_total"),
                            newer_driver));
  checks.push_back(check_of(
      "nvlink-bytes", "exact NVLink bytes", gpus,
      [](const NvmlGpu& gpu) -> std::string {
        if (!has_nvlink(gpu)) return "no NVLink is active";
        return counter_of(nvlink_source, "gpu_nvlink_tx_bytes_total")(gpu);
      },
      "nothing, where GPUs are not joined by NVLink; nvidia-smi nvlink -s shows links"));
  checks.push_back(check_of(
      "driver-samples", "the driver's own samples of utilisation and power", gpus,
      [](const NvmlGpu& gpu) -> std::string {
        return samples_kept(gpu, nvml::samples_power) > 0 ? "" : nvml::reason_of(nvml::not_supported);
      },
      "nothing: both are polled instead"));
  checks.push_back(check_of("energy", "energy counter", gpus, counter_of(energy_source, "gpu_energy_joules_total"),
                            "nothing: it takes a GPU from Volta on"));
  checks.push_back(check_of("gpu-processes", "memory of each process", gpus, lack_of_processes,
                            "a container sees processes of its own only: share the host's PID namespace"));
  checks.push_back(check_of("xid-events", "errors that the driver reports (Xid)", gpus, lack_of_xids,
                            "nothing: read them with dmesg"));
  checks.push_back(check_of(
      "gpm", "activity of SMs, tensor cores and memory over 100 ms (GPM)", gpus,
      [](const NvmlGpu& gpu) -> std::string { return has_gpm(gpu) ? "" : nvml::reason_of(nvml::not_supported); },
      "nothing: it takes Hopper or newer, without MIG or virtualisation; record --pm goes back to Turing"));
  checks.push_back(check_pm_sampling(gpus));
  checks.push_back(check_of("calibration", "what the counters really do, measured here", gpus, lack_of_calibration,
                            "run batchscope calibrate on an idle GPU"));
  return checks;
}

std::vector<GpuDescription> describe(const std::vector<NvmlGpu>& gpus) {
  std::vector<cuda::Gpu> shown;
  if (!gpus.empty()) try {
      shown = cuda::Library().gpus();
    } catch (const Failure&) {  // doctor says why
    }
  std::vector<GpuDescription> all;
  for (const NvmlGpu& gpu : gpus) {
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
    all.push_back(std::move(out));
  }
  return all;
}

}  // namespace batchscope
