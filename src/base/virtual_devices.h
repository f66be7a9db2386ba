// Virtual devices publish counters, and what they do now, to every process of the machine, as a GPU's driver does: a
// page in shared memory. The device side writes it; the virtual source of the sampler, in this process or another,
// finds and reads it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/current_phase.h"

namespace batchscope {

// One device. Only lock-free atomics: a reader may be another process at any time. Counters only grow.
struct VirtualDeviceCounters {
  std::atomic<std::int64_t> memory_capacity_bytes{0};  // 0: not limited
  std::atomic<std::int64_t> memory_used_bytes{0};
  std::atomic<std::int64_t> link_tx_bytes{0};  // cumulative, by the link itself
  std::atomic<std::int64_t> link_rx_bytes{0};
  std::atomic<std::int32_t> thread_id{0};  // of the worker; 0: none yet. Its CPU time is the device's busy time.
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

// The page of one process's devices, "cpu:0" … "cpu:N-1" or from another number on; removed with the object, and by readers when its process is
// gone. Where shared memory cannot be had the counters still work inside the process.
class VirtualDevicePage {
 public:
  explicit VirtualDevicePage(int devices, int first_number = 0);
  ~VirtualDevicePage();
  VirtualDevicePage(const VirtualDevicePage&) = delete;
  VirtualDevicePage& operator=(const VirtualDevicePage&) = delete;
  VirtualDeviceCounters& device(int index);
  CurrentPhase& phase(int index);  // what the device does, for its worker to show
  int devices() const;

 private:
  struct Mapping;
  std::unique_ptr<Mapping> mapping_;
};

}  // namespace batchscope
