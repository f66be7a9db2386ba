// Which requests a replica admits before each step of its generation (continuous batching: Yu et al. 2022). All ranks
// of a replica must take the same steps, and only one of them can look at the clock: the first to reach a step decides,
// and the others find the decision here.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <span>
#include <vector>

#include "base/clock.h"
#include "engine/batch.h"

namespace batchscope {

class Admission {
 public:
  struct Decision {
    RequestIndices admitted;  // none: go on with what is active; all ends where nothing is
    Nanoseconds time;         // since the begin of the run
  };

  // `served`: the replica's own ones among `requests`. `begin`: of the run, on `clock`.
  Admission(std::span<const GenerateRequest> requests, RequestIndices served, Clock& clock, Nanoseconds begin);

  // What is admitted before step `step`, where so many slots are free: in order of arrival (ties: of index) what has
  // arrived. If nothing is active it waits for the next arrival. Every rank asks for every step, in order.
  const Decision& at(std::size_t step, std::size_t free_slots, bool is_active);

 private:
  Decision decide(std::size_t free_slots, bool is_active);

  const std::span<const GenerateRequest> requests_;
  const RequestIndices by_arrival_;
  Clock& clock_;
  const Nanoseconds begin_;
  std::mutex mutex_;
  std::size_t next_ = 0;            // of by_arrival_, not yet admitted
  std::deque<Decision> decisions_;  // one a step; they stay where they are
};

}  // namespace batchscope
