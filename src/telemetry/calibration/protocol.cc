// The protocol of a calibration (telemetry/calibration/protocol.h).
#include "telemetry/calibration/protocol.h"

#include <fmt/format.h>

#include <array>
#include <ctime>
#include <utility>

#include "base/error.h"
#include "telemetry/calibration/experiments.h"

namespace batchscope::calibration {
namespace {

std::string date_of(Nanoseconds unix_time) {
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(unix_time).count();
  std::tm time{};
  gmtime_r(&seconds, &time);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &time);
  return text.data();
}

}  // namespace

std::vector<std::string> others_on(const nvml::Library& nvml, const nvml::Gpu& gpu) {
  std::vector<std::string> remarks;
  std::array<nvml::Process, 64> processes{};
  auto count = static_cast<std::uint32_t>(processes.size());
  const nvml::Return listed = nvml->nvmlDeviceGetComputeRunningProcesses_v3(gpu.device, &count, processes.data());
  if (listed == nvml::success && count > 0)
    remarks.push_back(fmt::format("{} other process{} had memory on this GPU", count, count == 1 ? "" : "es"));
  if (listed == nvml::insufficient_size) remarks.emplace_back("many other processes had memory on this GPU");
  nvml::Utilization utilization;
  if (nvml->nvmlDeviceGetUtilizationRates(gpu.device, &utilization) == nvml::success && utilization.gpu > 0)
    remarks.push_back(fmt::format("this GPU was {} % busy before any load began", utilization.gpu));
  return remarks;
}

Calibration calibrate(const Bench& bench, const std::set<std::string>& ids) {
  Calibration calibration{.board = bench.gpu.name,
                          .driver = bench.nvml.driver_version().value_or("unknown"),
                          .nvml = bench.nvml.nvml_version().value_or("unknown"),
                          .uuid = bench.gpu.uuid,
                          .date = date_of(bench.wall())};
  Experiments experiments(bench, ids);
  // A load that fails spoils its own experiment only.
  const std::pair<const char*, void (Experiments::*)()> all[] = {{"kernels", &Experiments::kernels},
                                                                 {"energy", &Experiments::energy},
                                                                 {"memory", &Experiments::memory},
                                                                 {"PCIe", &Experiments::pcie_bytes},
                                                                 {"PCIe windows", &Experiments::pcie_windows},
                                                                 {"NVLink", &Experiments::nvlink_bytes},
                                                                 {"GPM", &Experiments::gpm}};
  for (const auto& [name, experiment] : all) {
    try {
      (experiments.*experiment)();
    } catch (const Failure& failure) {
      calibration.remarks.push_back(fmt::format("{} could not be measured completely: {}", name, failure.what()));
    }
  }
  calibration.counters = experiments.take();
  return calibration;
}

}  // namespace batchscope::calibration
