// The bytes of a page of virtual devices in shared memory, and how pages are found. Only for this folder: the device
// side uses virtual_devices.h.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "telemetry/virtual_devices.h"

namespace batchscope {

struct VirtualPageHeader {
  std::atomic<std::uint64_t> magic{0};  // written last, so that a reader never sees half a header
  std::uint32_t version = 0;
  std::uint32_t devices = 0;
  std::int64_t pid = 0;
  std::uint64_t start_ticks = 0;    // of the process (field 22 of /proc/PID/stat): its number may be used again
  std::uint64_t pid_namespace = 0;  // inode: in another one the pid means another process
};
static_assert(sizeof(VirtualPageHeader) == 40 && sizeof(VirtualDeviceCounters) == 40 && sizeof(CurrentPhase) == 128);

constexpr std::uint64_t virtual_page_magic = 0x3170766373746162;  // "batscvp1"
constexpr std::uint32_t virtual_page_version = 2;  // header, counters of all devices, phases of all devices
constexpr std::uint32_t max_virtual_devices = 4096;

// A page of a live process, mapped for reading.
class VirtualPageView {
 public:
  // Null when it is not a page of ours, or its process has ended (then it is removed: nobody else would).
  static std::unique_ptr<VirtualPageView> open(const std::string& name);
  ~VirtualPageView();
  VirtualPageView(const VirtualPageView&) = delete;
  VirtualPageView& operator=(const VirtualPageView&) = delete;

  const std::string& name() const { return name_; }
  pid_t pid() const { return static_cast<pid_t>(header_->pid); }
  int devices() const { return static_cast<int>(devices_); }
  const VirtualDeviceCounters& device(int index) const { return counters_[index]; }
  const CurrentPhase& phase(int index) const { return phases_[index]; }
  bool alive() const;  // its process runs

 private:
  VirtualPageView() = default;
  std::string name_;
  const VirtualPageHeader* header_ = nullptr;
  const VirtualDeviceCounters* counters_ = nullptr;
  const CurrentPhase* phases_ = nullptr;
  std::uint32_t devices_ = 0;
  std::size_t size_ = 0;
};

// Names of this user's pages, of live processes or not.
std::vector<std::string> virtual_page_names();
// Start of a process in clock ticks since boot; absent when it does not run.
std::optional<std::uint64_t> process_start_ticks(pid_t pid);

}  // namespace batchscope
