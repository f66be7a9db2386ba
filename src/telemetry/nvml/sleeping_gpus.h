// GPUs that the kernel has suspended (runtime D3). NVML wakes what it opens, so the kernel is asked first.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope::nvml {

constexpr const char* sleep_reason = "the GPU sleeps (suspended by runtime power management, D3) and is not woken";
inline bool is_asleep(std::string_view reason) { return reason == sleep_reason; }

// A GPU of NVIDIA's driver as the kernel lists it.
struct PciGpu {
  std::string bus_id{};  // "0000:3b:00.0"
  bool is_suspended = false;
};

// /sys/bus/pci/devices, or the folder that BATCHSCOPE_PCI_DEVICES names.
std::filesystem::path pci_folder();
// By bus id, which is how NVML numbers them.
std::vector<PciGpu> pci_gpus(const std::filesystem::path& folder = pci_folder());

// The bus id of NVML's GPU `index` of `count` if it sleeps. Where the kernel lists another number of GPUs, as in a
// container that was given some of them, nothing is known.
std::optional<std::string> sleeping_gpu(std::uint32_t index, std::uint32_t count);

}  // namespace batchscope::nvml
