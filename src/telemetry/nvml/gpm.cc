// GPM calls in turn (telemetry/nvml/gpm.h).
#include "telemetry/nvml/gpm.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>

namespace batchscope::nvml {
namespace {

// Who makes a call has the turn, the others wait for it.
class Turn {
 public:
  template <class Call>
  Return wait_and(std::chrono::nanoseconds longest, const Call& call) {
    std::unique_lock lock(mutex_);
    if (!given_back_.wait_for(lock, longest, [&] { return !is_taken_; })) return timeout;
    is_taken_ = true;
    lock.unlock();
    const Return result = call();
    lock.lock();
    is_taken_ = false;
    given_back_.notify_one();
    return result;
  }

 private:
  std::mutex mutex_;
  std::condition_variable given_back_;
  bool is_taken_ = false;
};

// Of calls on one GPU, so that one that hangs holds up no other; null: of those on none. They are never destroyed:
// sampling threads may outlive main().
Turn& turn_of(Device device) {
  static auto* const mutex = new std::mutex;
  static auto* const turns = new std::map<Device, Turn>;
  const std::lock_guard guard(*mutex);
  return (*turns)[device];
}

}  // namespace

GpmSnapshot::GpmSnapshot(const Library& library) : library_(&library) {
  taken_ = turn_of(nullptr).wait_and(longest_wait, [&] { return library->nvmlGpmSampleAlloc(&sample_); });
}

// What cannot be given back in time is left to the library.
GpmSnapshot::~GpmSnapshot() {
  if (sample_ != nullptr)
    turn_of(nullptr).wait_and(longest_wait, [&] { return (*library_)->nvmlGpmSampleFree(sample_); });
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
  return taken_ = turn_of(device).wait_and(wait, [&] { return (*library_)->nvmlGpmSampleGet(device, sample_); });
}

Return GpmSnapshot::metrics_since(const GpmSnapshot& earlier, GpmMetrics& metrics,
                                  std::chrono::nanoseconds wait) const {
  if (earlier.taken_ != success) return earlier.taken_;
  if (taken_ != success) return taken_;
  metrics.first = earlier.sample_;
  metrics.second = sample_;
  return turn_of(nullptr).wait_and(wait, [&] { return (*library_)->nvmlGpmMetricsGet(&metrics); });
}

}  // namespace batchscope::nvml
