// Counters that a virtual device publishes to other processes, as a GPU's driver would.
#pragma once

#include <atomic>
#include <cstdint>

namespace batchscope {

// One device's page in shared memory. Only lock-free atomics: the reader may be another process at any time.
struct VirtualDeviceCounters {
  std::atomic<std::int64_t> memory_capacity_bytes{0};  // 0: not limited
  std::atomic<std::int64_t> memory_used_bytes{0};
  std::atomic<std::int64_t> link_tx_bytes{0};  // cumulative
  std::atomic<std::int64_t> link_rx_bytes{0};  // cumulative
  std::atomic<std::int32_t> thread_id{0};      // of the worker; its CPU time is in /proc/PID/task/TID
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

}  // namespace batchscope
