// Admission of requests (engine/admission.h).
#include "engine/admission.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace batchscope {
namespace {

RequestIndices sorted_by_arrival(std::span<const GenerateRequest> requests, RequestIndices served) {
  std::stable_sort(served.begin(), served.end(),
                   [&](std::size_t a, std::size_t b) { return requests[a].arrival < requests[b].arrival; });
  return served;
}

}  // namespace

Admission::Admission(std::span<const GenerateRequest> requests, RequestIndices served, Clock& clock, Nanoseconds begin)
    : requests_(requests), by_arrival_(sorted_by_arrival(requests, std::move(served))), clock_(clock), begin_(begin) {}

const Admission::Decision& Admission::at(std::size_t step, std::size_t free_slots, bool is_active) {
  const std::lock_guard lock(mutex_);
  CHECK_THAT(step <= decisions_.size(), "ranks ask for every step, {} comes behind {}", step, decisions_.size());
  if (step == decisions_.size()) decisions_.push_back(decide(free_slots, is_active));
  return decisions_[step];
}

Admission::Decision Admission::decide(std::size_t free_slots, bool is_active) {
  if (!is_active && next_ < by_arrival_.size()) clock_.sleep_until(begin_ + requests_[by_arrival_[next_]].arrival);
  Decision decision{{}, clock_.now() - begin_};
  while (next_ < by_arrival_.size() && decision.admitted.size() < free_slots &&
         requests_[by_arrival_[next_]].arrival <= decision.time)
    decision.admitted.push_back(by_arrival_[next_++]);
  return decision;
}

}  // namespace batchscope
