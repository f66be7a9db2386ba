// GPM calls kept apart (telemetry/nvml/gpm.h).
#include "telemetry/nvml/gpm.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>

namespace batchscope::nvml {
namespace {

// Keeps calls apart that must not be made at once: two on one GPU, two that are on none (null), and the first sample of
// a GPU or of a part of it (MIG) and any other. It is never destroyed: sampling threads may outlive main().
class Gate {
 public:
  template <class Call>
  Return make(Device device, std::chrono::nanoseconds longest, const Call& call, Device part = nullptr) {
    std::unique_lock lock(mutex_);
    const Device sampled = part != nullptr ? part : device;
    const auto is_first = [&] { return !known_.contains(sampled); };
    const auto may_begin = [&] {
      return !a_first_is_made_ && !made_.contains(device) && (!is_first() || made_.empty());
    };
    if (!changed_.wait_for(lock, longest, may_begin)) return timeout;
    a_first_is_made_ = is_first();
    made_.insert(device);
    lock.unlock();
    const Return result = call();
    lock.lock();
    made_.erase(device);
    if (is_first()) a_first_is_made_ = false;
    if (result == success) known_.insert(sampled);
    changed_.notify_all();
    return result;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<Device> made_;            // on what calls are being made
  std::set<Device> known_{nullptr};  // what needs no first call any more
  bool a_first_is_made_ = false;
};

Gate& gate() {
  static Gate& gate = *new Gate;
  return gate;
}

}  // namespace

GpmSnapshot::GpmSnapshot(const Library& library) : library_(&library) {
  taken_ = gate().make(nullptr, longest_wait, [&] { return library->nvmlGpmSampleAlloc(&sample_); });
}

// What cannot be given back in time is left to the library.
GpmSnapshot::~GpmSnapshot() {
  if (sample_ != nullptr) gate().make(nullptr, longest_wait, [&] { return (*library_)->nvmlGpmSampleFree(sample_); });
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
  return taken_ = gate().make(device, wait, [&] { return (*library_)->nvmlGpmSampleGet(device, sample_); });
}

Return GpmSnapshot::take(const Gpu& gpu, std::chrono::nanoseconds wait) {
  if (!gpu.instance) return take(gpu.device, wait);
  if (sample_ == nullptr) return taken_;
  const auto& [index, whole, number] = *gpu.instance;
  return taken_ = gate().make(
             whole, wait,
             [&, whole = whole, number = number] { return (*library_)->nvmlGpmMigSampleGet(whole, number, sample_); },
             gpu.device);
}

Return GpmSnapshot::metrics_since(const GpmSnapshot& earlier, GpmMetrics& metrics,
                                  std::chrono::nanoseconds wait) const {
  if (earlier.taken_ != success) return earlier.taken_;
  if (taken_ != success) return taken_;
  metrics.first = earlier.sample_;
  metrics.second = sample_;
  return gate().make(nullptr, wait, [&] { return (*library_)->nvmlGpmMetricsGet(&metrics); });
}

}  // namespace batchscope::nvml
