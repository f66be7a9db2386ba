// What sysfs says of NVIDIA's GPUs (telemetry/nvml/sleeping_gpus.h).
#include "telemetry/nvml/sleeping_gpus.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>

#include "base/procfs.h"

namespace batchscope::nvml {
namespace {

constexpr std::string_view nvidia_vendor = "0x10de", display_class = "0x03", driver_name = "nvidia";

bool is_nvidia_gpu(const std::filesystem::path& device) {
  std::error_code error;
  return read_small_file(device / "vendor").value_or("").starts_with(nvidia_vendor) &&
         read_small_file(device / "class").value_or("").starts_with(display_class) &&
         std::filesystem::read_symlink(device / "driver", error).filename() == driver_name;
}

}  // namespace

std::filesystem::path pci_folder() {
  const char* named = std::getenv("BATCHSCOPE_PCI_DEVICES");
  return named != nullptr ? named : "/sys/bus/pci/devices";
}

std::vector<PciGpu> pci_gpus(const std::filesystem::path& folder) {
  std::vector<PciGpu> gpus;
  std::error_code error;
  for (std::filesystem::directory_iterator device(folder, error), end; !error && device != end; device.increment(error))
    if (is_nvidia_gpu(device->path()))
      gpus.push_back(
          {.bus_id = device->path().filename(),
           .is_suspended =
               read_small_file(device->path() / "power" / "runtime_status").value_or("").starts_with("suspended")});
  std::sort(gpus.begin(), gpus.end(), [](const PciGpu& a, const PciGpu& b) { return a.bus_id < b.bus_id; });
  return gpus;
}

std::optional<std::string> sleeping_gpu(std::uint32_t index, std::uint32_t count) {
  const std::vector<PciGpu> gpus = pci_gpus();
  if (gpus.size() != count || index >= count || !gpus[index].is_suspended) return std::nullopt;
  return gpus[index].bus_id;
}

}  // namespace batchscope::nvml
