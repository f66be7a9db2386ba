// The queue of callers' requests (engine/live_requests.h).
#include "engine/live_requests.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace batchscope {
namespace {

// A rank that waits for another's message gives up some time later than this (comm/process_world.h).
constexpr auto longest_wait = std::chrono::seconds(30);

}  // namespace

LiveRequests::LiveRequests(Limits limits) : limits_(limits), cancelled_(limits.replicas) {}

bool LiveRequests::submit(std::vector<NumberedRequest> requests) {
  {
    const std::lock_guard lock(mutex_);
    if (has_ended_ || waiting_.size() + requests.size() > limits_.queue) return false;
    std::move(requests.begin(), requests.end(), std::back_inserter(waiting_));
  }
  changed_.notify_all();
  return true;
}

void LiveRequests::cancel(std::size_t number) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                    [&](const NumberedRequest& one) { return one.number == number; });
    if (found != waiting_.end()) {
      waiting_.erase(found);
      return;
    }
    for (auto& of_replica : cancelled_) of_replica.push_back(number);
  }
  changed_.notify_all();
}

void LiveRequests::end() {
  {
    const std::lock_guard lock(mutex_);
    has_ended_ = true;
    waiting_.clear();
  }
  changed_.notify_all();
}

std::size_t LiveRequests::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

RequestSource::Taken LiveRequests::take(std::size_t replica, std::size_t free_slots, bool is_active) {
  std::unique_lock lock(mutex_);
  auto& cancelled = cancelled_[replica];
  if (!is_active) changed_.wait_for(lock, longest_wait, [&] { return has_ended_ || !waiting_.empty(); });
  Taken taken{.cancelled = std::exchange(cancelled, {}), .has_ended = has_ended_};
  std::int64_t tokens = 0;
  while (!waiting_.empty() && taken.admitted.size() < free_slots) {
    tokens += std::ssize(waiting_.front().request.prompt);
    if (tokens > limits_.prompt_tokens && !taken.admitted.empty()) break;
    taken.admitted.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return taken;
}

}  // namespace batchscope
