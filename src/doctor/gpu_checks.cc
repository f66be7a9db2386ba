// Checks of GPUs (doctor/gpu_checks.h).
#include "doctor/gpu_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "base/attempt.h"
#include "base/error.h"
#include "telemetry/calibration/calibration.h"
#include "telemetry/collected_rows.h"
#include "telemetry/nvml/sleeping_gpus.h"
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

// Why a GPU lacks something, or that it does not answer: then it is not asked again.
std::string asked(const Lack& lack, const NvmlGpu& gpu, std::set<std::string>& hung) {
  constexpr Nanoseconds patience = std::chrono::seconds(5);
  constexpr const char* no_answer = "the driver has not returned from a call on it";
  if (hung.contains(gpu.gpu.uuid)) return no_answer;
  Attempt<std::string> attempt([lack, gpu] { return lack(gpu); });
  if (const auto answer = attempt.wait_for(patience)) return *answer;
  hung.insert(gpu.gpu.uuid);
  return no_answer;
}

Check check_of(const char* id, const char* what, const std::vector<NvmlGpu>& gpus, const Lack& lack, const char* to_do,
               std::set<std::string>& hung) {
  Check check{.id = id, .what = what};
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const NvmlGpu& gpu : gpus) by_reason[asked(lack, gpu, hung)].push_back(gpu.label());
  check.present = by_reason.size() == 1 && by_reason.begin()->first.empty();
  std::vector<std::string> parts;
  for (const auto& [reason, labels] : by_reason)
    parts.push_back(fmt::format("{}: {}", fmt::join(labels, ", "), reason.empty() ? "there" : reason));
  check.why = fmt::format("{}", fmt::join(parts, "; "));
  if (!check.present) check.to_do = to_do;
  return check;
}

std::size_t count_asleep(const std::vector<nvml::Refusal>& missing) {
  return static_cast<std::size_t>(std::count_if(
      missing.begin(), missing.end(), [](const nvml::Refusal& refusal) { return nvml::is_asleep(refusal.why); }));
}

Check check_nvml(const std::vector<NvmlGpu>& gpus, const std::vector<nvml::Refusal>& missing) {
  std::vector<std::string> why;
  if (!gpus.empty())
    why.push_back(fmt::format("driver {}, {} GPU{}", gpus[0].library->driver_version().value_or("unknown"), gpus.size(),
                              gpus.size() == 1 ? "" : "s"));
  for (const nvml::Refusal& refusal : missing) why.push_back(refusal.text());
  const auto sleeping = count_asleep(missing);
  Check check{.id = "nvml", .what = "NVML, the counters of NVIDIA GPUs"};
  check.present = sleeping == missing.size() && gpus.size() + sleeping > 0;
  check.needed = are_gpus_expected() || !gpus.empty();
  check.why = fmt::format("{}", fmt::join(why, "; "));
  if (!check.present)
    check.to_do = check.needed ? "see what nvidia-smi says; a container needs --gpus all"
                               : "needed on GPU machines only: install the NVIDIA driver";
  return check;
}

Check check_pm_sampling(const std::vector<NvmlGpu>& gpus, bool is_one_asleep) {
  Check check{.id = "cupti", .what = "hardware counters of GPUs at kilohertz (record --pm)"};
  if (is_one_asleep) {
    check.why = "not tried: CUDA would wake the GPU that sleeps";
    return check;
  }
  try {
    Attempt<std::size_t> attempt([gpus] { return pm_sampling_sources(gpus, std::chrono::milliseconds(1)).size(); });
    const auto begun = attempt.wait_for(std::chrono::seconds(20));
    check.present = begun && *begun > 0;
    check.why = !begun          ? "the driver has not returned from a call"
                : check.present ? fmt::format("a session was started on {} of {} GPUs", *begun, gpus.size())
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

}  // namespace

std::vector<Check> gpu_checks() {
  std::vector<nvml::Refusal> missing;
  const std::vector<NvmlGpu> gpus = nvml_gpus(&missing);
  std::vector<Check> checks{check_nvml(gpus, missing)};
  if (gpus.empty()) return checks;
  std::set<std::string> hung;
  const auto check_of = [&](const char* id, const char* what, const std::vector<NvmlGpu>& all, const Lack& lack,
                            const char* to_do) { return batchscope::check_of(id, what, all, lack, to_do, hung); };
  constexpr const char* newer_driver = "update the driver: 555 or newer has it on Volta and newer GPUs";
  checks.push_back(check_of("pcie-bytes", "exact PCIe bytes", gpus, counter_of(pcie_source, "gpu_pcie_tx_bytes_total"),
                            newer_driver));
  checks.push_back(check_of(
      "nvlink-bytes", "exact NVLink bytes", gpus,
      [](const NvmlGpu& gpu) -> std::string {
        if (!has_nvlink(gpu)) return "no NVLink is active";
        return counter_of(nvlink_source, "gpu_nvlink_tx_bytes_total")(gpu);
      },
      "nothing, unless NVLink connects the GPUs; nvidia-smi nvlink -s shows its links"));
  checks.push_back(check_of(
      "driver-samples", "the driver's own samples of utilisation and power", gpus,
      [](const NvmlGpu& gpu) -> std::string {
        return samples_kept(gpu, nvml::samples_power) > 0 ? "" : nvml::reason_of(nvml::not_supported);
      },
      "nothing: both are polled instead"));
  checks.push_back(check_of("energy", "energy counter", gpus, counter_of(energy_source, "gpu_energy_joules_total"),
                            "nothing: it needs Volta or newer"));
  checks.push_back(check_of("gpu-processes", "memory of each process", gpus, lack_of_processes,
                            "a container sees only its own processes: share the host's PID namespace"));
  checks.push_back(check_of("xid-events", "errors that the driver reports (Xid)", gpus, lack_of_xids,
                            "nothing: read them with dmesg"));
  checks.push_back(check_of(
      "gpm", "activity of SMs, tensor cores and memory over 100 ms (GPM)", gpus,
      [](const NvmlGpu& gpu) -> std::string { return has_gpm(gpu) ? "" : nvml::reason_of(nvml::not_supported); },
      "nothing: it needs Hopper or newer, without MIG or virtualisation; record --pm works from Turing on"));
  checks.push_back(check_pm_sampling(gpus, count_asleep(missing) > 0));
  checks.push_back(check_of("calibration", "how the counters really behave, measured here", gpus, lack_of_calibration,
                            "run batchscope calibrate on an idle GPU"));
  return checks;
}

}  // namespace batchscope
