// Which requests a replica admits before each step of its generation (continuous batching: Yu et al. 2022). All ranks
// of a replica must take the same steps, and only one of them can look at the clock and at who has come: the replica's
// first rank asks the source, and the others are told.
#pragma once

#include <cstddef>
#include <optional>

#include "base/clock.h"
#include "comm/host_group.h"
#include "engine/request_source.h"

namespace batchscope {

// One rank's view.
class Admission {
 public:
  struct Decision : RequestSource::Taken {
    Nanoseconds time{0};  // since the begin of the run
  };

  // `begin`: of the run, on `clock`. `group`: the replica's ranks; absent where a rank is followed alone.
  Admission(RequestSource& source, std::size_t replica, Clock& clock, Nanoseconds begin,
            std::optional<HostGroup> group = {});

  // What is admitted before the next step, where so many slots are free. Every rank asks before every step.
  Decision next(std::size_t free_slots, bool is_active);
  // Returns once all ranks of the replica have called it.
  void barrier();

 private:
  RequestSource& source_;
  const std::size_t replica_;
  Clock& clock_;
  const Nanoseconds begin_;
  std::optional<HostGroup> group_;
};

}  // namespace batchscope
