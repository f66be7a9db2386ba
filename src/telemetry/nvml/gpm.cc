// One GPM call at a time (telemetry/nvml/gpm.h).
#include "telemetry/nvml/gpm.h"

#include <chrono>
#include <mutex>
#include <utility>

namespace batchscope::nvml {
namespace {

std::timed_mutex& turn() {
  static auto* const one = new std::timed_mutex;  // sampling threads may outlive main()
  return *one;
}

template <class Call>
Return in_turn(std::chrono::nanoseconds wait, const Call& call) {
  const std::unique_lock lock(turn(), wait);
  return lock ? call() : timeout;
}

}  // namespace

GpmSnapshot::GpmSnapshot(const Library& library) : library_(&library) {
  taken_ = in_turn(longest_wait, [&] { return library->nvmlGpmSampleAlloc(&sample_); });
}

// What cannot be given back in time is left to the library.
GpmSnapshot::~GpmSnapshot() {
  if (sample_ != nullptr) in_turn(longest_wait, [&] { return (*library_)->nvmlGpmSampleFree(sample_); });
}

GpmSnapshot::GpmSnapshot(GpmSnapshot&& other) noexcept
    : library_(other.library_), sample_(std::exchange(other.sample_, nullptr)), taken_(other.taken_) {}

Return GpmSnapshot::take(Device device, std::chrono::nanoseconds wait) {
  if (sample_ == nullptr) return taken_;
  return taken_ = in_turn(wait, [&] { return (*library_)->nvmlGpmSampleGet(device, sample_); });
}

Return GpmSnapshot::metrics_since(const GpmSnapshot& earlier, GpmMetrics& metrics,
                                  std::chrono::nanoseconds wait) const {
  if (earlier.taken_ != success) return earlier.taken_;
  if (taken_ != success) return taken_;
  metrics.first = earlier.sample_;
  metrics.second = sample_;
  return in_turn(wait, [&] { return (*library_)->nvmlGpmMetricsGet(&metrics); });
}

}  // namespace batchscope::nvml
