// For tests: what the kernel says of the fake's GPUs, as files in place of /sys/bus/pci/devices (docs/fake_nvml.md).
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace batchscope::nvml::fake {

class PciFolder {
 public:
  PciFolder(std::filesystem::path folder, int gpus) : folder_(std::move(folder)) {
    for (int gpu = 0; gpu < gpus; ++gpu) {
      const std::filesystem::path device = folder_ / name_of(gpu);
      std::filesystem::create_directories(device / "power");
      std::ofstream(device / "vendor") << "0x10de\n";
      std::ofstream(device / "class") << "0x030200\n";
      std::filesystem::create_symlink("../../drivers/nvidia", device / "driver");
      set_status(gpu, "active");
    }
  }

  const std::filesystem::path& path() const { return folder_; }
  // Of the fake's GPUs, unless the scenario says otherwise.
  static std::string name_of(int gpu) { return fmt::format("0000:{:02x}:00.0", 0x1b + 16 * (gpu % 8) + gpu / 8); }
  void set_status(int gpu, const std::string& status) const { std::ofstream(file(gpu)) << status << '\n'; }
  std::string status(int gpu) const {
    std::string status;
    std::ifstream(file(gpu)) >> status;
    return status;
  }

 private:
  std::filesystem::path file(int gpu) const { return folder_ / name_of(gpu) / "power" / "runtime_status"; }
  std::filesystem::path folder_;
};

}  // namespace batchscope::nvml::fake
