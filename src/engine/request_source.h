// Where a generation's requests come from: a list that is known beforehand, or callers who come and go
// (engine/live_requests.h).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/clock.h"
#include "engine/batch.h"

namespace batchscope {

struct NumberedRequest {
  std::size_t number = 0;  // of its source, by which tokens come back
  GenerateRequest request{};
};

class RequestSource {
 public:
  struct Taken {
    std::vector<NumberedRequest> admitted{};
    std::vector<std::size_t> cancelled{};  // numbers: nobody wants their tokens any more; unknown ones are no error
    bool has_ended = false;                // none will come; those that are admitted are still served
  };
  virtual ~RequestSource() = default;
  // What `replica` admits before its next step, where so many slots are free. If nothing is active it may wait, and may
  // come back with nothing. Called by one thread a replica.
  virtual Taken take(std::size_t replica, std::size_t free_slots, bool is_active) = 0;
};

// A replica's own ones of a list, `served`: in order of arrival (ties: of index) what has arrived; the number of a
// request is its index. If nothing is active it waits for the next arrival.
class ListedRequests : public RequestSource {
 public:
  // `begin`: of the run, on `clock`.
  ListedRequests(std::span<const GenerateRequest> requests, RequestIndices served, Clock& clock, Nanoseconds begin);
  Taken take(std::size_t replica, std::size_t free_slots, bool is_active) override;

 private:
  const std::span<const GenerateRequest> requests_;
  const RequestIndices by_arrival_;
  Clock& clock_;
  const Nanoseconds begin_;
  std::size_t next_ = 0;  // of by_arrival_, not yet admitted
};

// One of a list, as it is drawn and counted there.
NumberedRequest numbered(std::span<const GenerateRequest> requests, std::size_t index);

}  // namespace batchscope
