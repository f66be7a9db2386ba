// One GPM call at a time (telemetry/nvml/gpm.h).
#include "telemetry/nvml/gpm.h"

#include <chrono>
#include <mutex>
#include <utility>

namespace batchscope::nvml {
namespace {

// A call that hangs (a GPU may) does not hold up those on other GPUs for ever: it waits in the kernel, where the
// library's state is not touched.
class Turn {
 public:
  Turn() : lock_(mutex(), std::chrono::milliseconds(500)) {}

 private:
  static std::timed_mutex& mutex() {
    static auto* const one = new std::timed_mutex;  // sampling threads may outlive main()
    return *one;
  }
  std::unique_lock<std::timed_mutex> lock_;
};

}  // namespace

GpmSnapshot::GpmSnapshot(const Library& library) : library_(&library) {
  const Turn turn;
  taken_ = (*library_)->nvmlGpmSampleAlloc(&sample_);
}

GpmSnapshot::~GpmSnapshot() {
  if (sample_ == nullptr) return;
  const Turn turn;
  (*library_)->nvmlGpmSampleFree(sample_);
}

GpmSnapshot::GpmSnapshot(GpmSnapshot&& other) noexcept
    : library_(other.library_), sample_(std::exchange(other.sample_, nullptr)), taken_(other.taken_) {}

Return GpmSnapshot::take(Device device) {
  if (sample_ == nullptr) return taken_;
  const Turn turn;
  return taken_ = (*library_)->nvmlGpmSampleGet(device, sample_);
}

Return GpmSnapshot::metrics_since(const GpmSnapshot& earlier, GpmMetrics& metrics) const {
  if (earlier.taken_ != success) return earlier.taken_;
  if (taken_ != success) return taken_;
  metrics.first = earlier.sample_;
  metrics.second = sample_;
  const Turn turn;
  return (*library_)->nvmlGpmMetricsGet(&metrics);
}

}  // namespace batchscope::nvml
