// Requests of callers who come and go while a generation runs: a bounded queue that any thread may put requests into.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "engine/request_source.h"

namespace batchscope {

class LiveRequests : public RequestSource {
 public:
  struct Limits {
    std::size_t replicas = 1;
    std::size_t queue = 1024;        // requests that wait, at most
    std::int64_t prompt_tokens = 0;  // that are admitted together, unless one prompt alone has more
  };
  explicit LiveRequests(Limits limits);

  // All of them, or none where the queue has no room for all: false.
  bool submit(std::vector<NumberedRequest> requests);
  // Nobody wants its tokens any more: it leaves the queue, or its slot before the next step.
  void cancel(std::size_t number);
  // Drops what waits, and takes nothing more; what is admitted is served to its end unless it is cancelled.
  void end();
  std::size_t waiting() const;

  Taken take(std::size_t replica, std::size_t free_slots, bool is_active) override;

 private:
  const Limits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<NumberedRequest> waiting_;
  std::vector<std::vector<std::size_t>> cancelled_;  // of each replica, which are still to be told
  bool has_ended_ = false;
};

}  // namespace batchscope
