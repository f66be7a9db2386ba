// GPM calls kept apart (telemetry/nvml/gpm.h).
#include "telemetry/nvml/gpm.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>

namespace batchscope::nvml {
namespace {

// Keeps calls apart that must not be made at once. It is never destroyed: sampling threads may outlive main().
class Gate {
 public:
  template <class Call>
  Return take_sample(Device device, std::chrono::nanoseconds longest, const Call& call) {
    std::unique_lock lock(mutex_);
    const auto may_begin = [&] {
      const bool is_known = has_samples_.contains(device);
      return !a_first_is_taken_ && !sampled_.contains(device) && (is_known || (sampled_.empty() && !other_is_made_));
    };
    if (!changed_.wait_for(lock, longest, may_begin)) return timeout;
    const bool is_first = !has_samples_.contains(device);
    a_first_is_taken_ = is_first;
    sampled_.insert(device);
    lock.unlock();
    const Return result = call();
    lock.lock();
    sampled_.erase(device);
    if (is_first) a_first_is_taken_ = false;
    if (result == success) has_samples_.insert(device);
    changed_.notify_all();
    return result;
  }

  template <class Call>
  Return make_other(std::chrono::nanoseconds longest, const Call& call) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, longest, [&] { return !a_first_is_taken_ && !other_is_made_; })) return timeout;
    other_is_made_ = true;
    lock.unlock();
    const Return result = call();
    lock.lock();
    other_is_made_ = false;
    changed_.notify_all();
    return result;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<Device> has_samples_, sampled_;  // sampled: now
  bool a_first_is_taken_ = false, other_is_made_ = false;
};

Gate& gate() {
  static Gate& gate = *new Gate;
  return gate;
}

}  // namespace

GpmSnapshot::GpmSnapshot(const Library& library) : library_(&library) {
  taken_ = gate().make_other(longest_wait, [&] { return library->nvmlGpmSampleAlloc(&sample_); });
}

// What cannot be given back in time is left to the library.
GpmSnapshot::~GpmSnapshot() {
  if (sample_ != nullptr) gate().make_other(longest_wait, [&] { return (*library_)->nvmlGpmSampleFree(sample_); });
}

GpmSnapshot::GpmSnapshot(GpmSnapshot&& other) noexcept
    : library_(other.library_), sample_(std::exchange(other.sample_, nullptr)), taken_(other.taken_) {}

GpmSnapshot& GpmSnapshot::operator=(GpmSnapshot&& other) noexcept {
  std::swap(library_, other.library_);
  std::swap(sample_, other.sample_);
  std::swap(taken_, other.taken_);
  return *this;
}

Return GpmSnapshot::take(Device device, std::chrono::nanoseconds wait) {
  if (sample_ == nullptr) return taken_;
  return taken_ = gate().take_sample(device, wait, [&] { return (*library_)->nvmlGpmSampleGet(device, sample_); });
}

Return GpmSnapshot::metrics_since(const GpmSnapshot& earlier, GpmMetrics& metrics,
                                  std::chrono::nanoseconds wait) const {
  if (earlier.taken_ != success) return earlier.taken_;
  if (taken_ != success) return taken_;
  metrics.first = earlier.sample_;
  metrics.second = sample_;
  return gate().make_other(wait, [&] { return (*library_)->nvmlGpmMetricsGet(&metrics); });
}

}  // namespace batchscope::nvml
