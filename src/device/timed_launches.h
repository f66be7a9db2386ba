// How long each kernel and collective of a device takes, by its own events.
#pragma once

#include <vector>

#include "device/device.h"

namespace batchscope {

struct TimedEntry {
  TraceEntry entry;
  double seconds = 0;
};

// A collective's time has its own kernels in it: they are left out.
std::vector<TimedEntry> without_inner_kernels(std::vector<TimedEntry> entries);

// Observes a device as long as it lives.
class TimedLaunches : public LaunchObserver {
 public:
  explicit TimedLaunches(Device& device) : device_(device) { device_.observe(this); }
  ~TimedLaunches() override { device_.observe(nullptr); }
  TimedLaunches(const TimedLaunches&) = delete;
  TimedLaunches& operator=(const TimedLaunches&) = delete;

  void launched(const TraceEntry& entry, Event begin, Event end) override { launches_.push_back({entry, begin, end}); }
  // What was launched since the last call, without inner kernels; once the device has done it.
  std::vector<TimedEntry> take();

 private:
  struct Launched {
    TraceEntry entry;
    Event begin, end;
  };
  Device& device_;
  std::vector<Launched> launches_;
};

}  // namespace batchscope
