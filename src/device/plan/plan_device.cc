// The planning device's trace of memory.
#include "device/plan/plan_device.h"

#include <utility>

namespace batchscope {

void MemoryTrace::allocated(std::string_view, MemoryUse use, std::int64_t bytes) {
  live_.push_back({use, bytes});
  now_[static_cast<std::size_t>(use)] += bytes;
  total_ += bytes;
  if (total_ > peak_) {
    peak_ = total_;
    at_peak_ = now_;
  }
}

void MemoryTrace::released(std::int64_t buffers) {
  for (; buffers > 0; --buffers) {
    now_[static_cast<std::size_t>(live_.back().use)] -= live_.back().bytes;
    total_ -= live_.back().bytes;
    live_.pop_back();
  }
}

namespace {
NoPages no_pages;
}

PlanDevice::PlanDevice(std::string name, DeviceTraits traits) : Device(std::move(name), no_pages), traits_(std::move(traits)) {
  arena().observe(&memory_);
}

}  // namespace batchscope
