// Requests of a list (engine/request_source.h).
#include "engine/request_source.h"

#include <algorithm>
#include <utility>

namespace batchscope {
namespace {

RequestIndices sorted_by_arrival(std::span<const GenerateRequest> requests, RequestIndices served) {
  std::stable_sort(served.begin(), served.end(),
                   [&](std::size_t a, std::size_t b) { return requests[a].arrival < requests[b].arrival; });
  return served;
}

}  // namespace

ListedRequests::ListedRequests(std::span<const GenerateRequest> requests, RequestIndices served, Clock& clock,
                               Nanoseconds begin)
    : requests_(requests), by_arrival_(sorted_by_arrival(requests, std::move(served))), clock_(clock), begin_(begin) {}

RequestSource::Taken ListedRequests::take(std::size_t, std::size_t free_slots, bool is_active) {
  if (!is_active && next_ < by_arrival_.size()) clock_.sleep_until(begin_ + requests_[by_arrival_[next_]].arrival);
  const Nanoseconds time = clock_.now() - begin_;
  Taken taken;
  while (next_ < by_arrival_.size() && taken.admitted.size() < free_slots &&
         requests_[by_arrival_[next_]].arrival <= time)
    taken.admitted.push_back(numbered(requests_, by_arrival_[next_++]));
  taken.has_ended = next_ == by_arrival_.size();
  return taken;
}

NumberedRequest numbered(std::span<const GenerateRequest> requests, std::size_t index) {
  NumberedRequest one{index, requests[index]};
  one.request.sampling.sequence = index;
  return one;
}

}  // namespace batchscope
