// Links of virtual devices: they count what is carried and take their time for it.
#pragma once

#include <vector>

#include "base/clock.h"
#include "base/virtual_devices.h"
#include "device/link.h"

namespace batchscope {

class VirtualLinks {
 public:
  // Counters of each rank's link; null: counted elsewhere, or nowhere.
  VirtualLinks(std::vector<VirtualDeviceCounters*> counters, Clock& clock)
      : counters_(std::move(counters)), clock_(clock), free_at_(counters_.size()) {}

  int ranks() const { return static_cast<int>(counters_.size()); }
  Clock& clock() { return clock_; }
  void set(const LinkSpec& link) { link_ = link; }  // while no rank communicates

  void count_sent(int rank, std::int64_t bytes) {
    if (auto* counters = counters_[static_cast<std::size_t>(rank)]) counters->link_tx_bytes += bytes;
  }
  void count_received(int rank, std::int64_t bytes) {
    if (auto* counters = counters_[static_cast<std::size_t>(rank)]) counters->link_rx_bytes += bytes;
  }
  // Called by the receiver of that many bytes.
  void pace(int rank, std::int64_t bytes);

 private:
  std::vector<VirtualDeviceCounters*> counters_;
  Clock& clock_;
  LinkSpec link_;
  std::vector<Nanoseconds> free_at_;  // a receiver: when its link has carried all that it was given
};

}  // namespace batchscope
