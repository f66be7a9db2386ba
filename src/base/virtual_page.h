// The bytes of a page of virtual devices in shared memory, and how pages are found: for those who read them. The device
// side uses virtual_devices.h.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/virtual_devices.h"

namespace batchscope {

struct VirtualPageHeader {
  std::atomic<std::uint64_t> magic{0};  // written last, so that a reader never sees half a header
  std::uint32_t version = 0;
  std::uint32_t devices = 0;
  std::int64_t pid = 0;
  std::uint64_t start_ticks = 0;    // of the process (field 22 of /proc/PID/stat): its number may be used again
  std::uint64_t pid_namespace = 0;  // inode: in another one the pid means another process
  std::int64_t first_number = 0;    // of the devices
};
static_assert(sizeof(VirtualPageHeader) == 48 && sizeof(VirtualDeviceCounters) == 40 && sizeof(CurrentPhase) == 128);

constexpr std::uint64_t virtual_page_magic = 0x3170766373746162;  // "batscvp1"
constexpr std::uint32_t virtual_page_version = 3;  // header, counters of all devices, phases of all devices
constexpr std::uint32_t max_virtual_devices = 4096;

// A page of a live process. It is read by copies, never mapped: whoever truncates it meanwhile ends what it shows, not
// this program.
class VirtualPageView {
 public:
  // Null when it is not a page of this user's, or its process has ended (then it is removed: nobody else would). Never
  // waits, whatever stands there by that name.
  static std::unique_ptr<VirtualPageView> open(const std::string& name);
  ~VirtualPageView();
  VirtualPageView(const VirtualPageView&) = delete;
  VirtualPageView& operator=(const VirtualPageView&) = delete;

  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }
  int devices() const { return static_cast<int>(devices_); }
  int first_number() const { return first_number_; }
  bool alive() const;  // its process runs
  // Copies the devices' counters as they are now; false when the page has none any more.
  bool look();
  const VirtualDeviceCounters& device(int index) const;       // of the last look
  std::optional<CurrentPhase::State> phase(int index) const;  // now

 private:
  VirtualPageView() = default;
  std::string name_;
  int file_ = -1;
  pid_t pid_ = 0;
  std::uint64_t start_ticks_ = 0, pid_namespace_ = 0;
  std::uint32_t devices_ = 0;
  int first_number_ = 0;
  std::vector<std::uint64_t> counters_;  // words of VirtualDeviceCounters
};

// Names of this user's pages, of live processes or not.
std::vector<std::string> virtual_page_names();
// Start of a process in clock ticks since boot; absent when it does not run.
std::optional<std::uint64_t> process_start_ticks(pid_t pid);

}  // namespace batchscope
