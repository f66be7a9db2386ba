// GPM calls in turn (telemetry/nvml/gpm.h).
#include "telemetry/nvml/gpm.h"

#include <chrono>
#include <map>
#include <mutex>
#include <utility>

namespace batchscope::nvml {
namespace {

// Of calls on one GPU, so that one that hangs holds up no other; null: of those on none. They are never destroyed:
// sampling threads may outlive main().
std::timed_mutex& turn_of(Device device) {
  static auto* const mutex = new std::mutex;
  static auto* const turns = new std::map<Device, std::timed_mutex>;
  const std::lock_guard guard(*mutex);
  return (*turns)[device];
}

template <class Call>
Return in_turn(Device device, std::chrono::nanoseconds wait, const Call& call) {
  const std::unique_lock lock(turn_of(device), wait);
  return lock ? call() : timeout;
}

}  // namespace

GpmSnapshot::GpmSnapshot(const Library& library) : library_(&library) {
  taken_ = in_turn(nullptr, longest_wait, [&] { return library->nvmlGpmSampleAlloc(&sample_); });
}

// What cannot be given back in time is left to the library.
GpmSnapshot::~GpmSnapshot() {
  if (sample_ != nullptr) in_turn(nullptr, longest_wait, [&] { return (*library_)->nvmlGpmSampleFree(sample_); });
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
  return taken_ = in_turn(device, wait, [&] { return (*library_)->nvmlGpmSampleGet(device, sample_); });
}

Return GpmSnapshot::metrics_since(const GpmSnapshot& earlier, GpmMetrics& metrics,
                                  std::chrono::nanoseconds wait) const {
  if (earlier.taken_ != success) return earlier.taken_;
  if (taken_ != success) return taken_;
  metrics.first = earlier.sample_;
  metrics.second = sample_;
  return in_turn(nullptr, wait, [&] { return (*library_)->nvmlGpmMetricsGet(&metrics); });
}

}  // namespace batchscope::nvml
