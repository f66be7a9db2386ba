// The transport of ranks that are threads of one process: a sender posts where its bytes lie, the receiver copies them,
// which is where links count and pace.
#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

#include "comm/transport.h"
#include "comm/virtual_links.h"

namespace batchscope {

class ThreadTransport : public Transport {
 public:
  // One endpoint a rank; its link counters go to `counters` (null: counted nowhere).
  ThreadTransport(std::vector<VirtualDeviceCounters*> counters, Clock& clock);

  void set_link(const LinkSpec& link) override { links_.set(link); }

  void post(int from, int to, const std::byte* data, std::int64_t bytes) override;
  // Copies, at the link's pace.
  Taken take(int from, int to, std::byte* out, std::int64_t bytes) override;
  std::int64_t await_taken(int from, int to) override;

  void abort() override;
  void reset() override;

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
    return channels_[static_cast<std::size_t>(from * links_.ranks() + to)];
  }

  VirtualLinks links_;
  std::vector<Channel> channels_;
};

}  // namespace batchscope
