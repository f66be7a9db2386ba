// How ranks that are threads of one process exchange memory: a sender posts where its bytes lie, the receiver copies
// them, which is where links count and pace. No rank waits for one that has failed: abort() wakes all.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "base/clock.h"
#include "device/link.h"
#include "telemetry/virtual_devices.h"

namespace batchscope {

// Thrown in ranks that waited for another one which failed; that one's error is the cause.
class PeerFailed : public std::runtime_error {
 public:
  PeerFailed() : std::runtime_error("another rank failed") {}
};

class Fabric {
 public:
  // One endpoint a rank; its link counters go to `counters` (null: counted nowhere).
  Fabric(std::vector<VirtualDeviceCounters*> counters, Clock& clock);

  void set_link(const LinkSpec& link) { link_ = link; }  // while no rank communicates

  // Says where rank `from` has bytes for rank `to`; they must stay until await_taken().
  void post(int from, int to, const std::byte* data, std::int64_t bytes);
  // Copies what `from` posted for `to`, at the link's pace; returns how long it waited for the post.
  Nanoseconds take(int from, int to, std::byte* out, std::int64_t bytes);
  // Returns once the last post has been copied.
  void await_taken(int from, int to);

  void abort();
  // Forgets an abort and what was left posted; while no rank communicates.
  void reset();

 private:
  // One direction between two ranks.
  struct Channel {
    std::mutex mutex;
    std::condition_variable changed;
    const std::byte* data = nullptr;
    std::int64_t bytes = 0;
    bool posted = false;
    bool aborted = false;
  };
  Channel& channel(int from, int to) {
    return channels_[static_cast<std::size_t>(from) * counters_.size() + static_cast<std::size_t>(to)];
  }
  void count(int from, int to, std::int64_t bytes);
  void pace(int to, std::int64_t bytes);

  std::vector<VirtualDeviceCounters*> counters_;
  Clock& clock_;
  std::vector<Channel> channels_;
  LinkSpec link_;
  std::vector<Nanoseconds> link_free_at_;  // a receiver: when its link has carried all that it was given
};

}  // namespace batchscope
