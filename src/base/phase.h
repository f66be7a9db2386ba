// Phases: named intervals of work on a named clock. Engines write them, telemetry and the store read them;
// this is the only place where the two meet.
#pragma once

#include <string>
#include <utility>

#include "base/clock.h"
#include "base/current_phase.h"

namespace batchscope {

struct Phase {
  std::string name;   // what was done: "load", "warm-up", "batch", "layer"
  std::string track;  // who did it: a device, a rank, a process
  Nanoseconds begin;  // on the clock named below
  Nanoseconds end;
  std::string clock = "host_monotonic";
  Nanoseconds clock_offset{0};  // add to reach the host's monotonic clock
  Nanoseconds clock_error{0};   // bound of that offset's error
  std::string detail;           // free: "batch 12, 64 sequences"
};

// Takes phases from any thread.
class PhaseSink {
 public:
  virtual ~PhaseSink() = default;
  virtual void record(Phase phase) = 0;
};

// Records the time between construction and destruction, and shows it as the current phase meanwhile; null: does not.
class PhaseScope {
 public:
  PhaseScope(PhaseSink* sink, std::string name, std::string track, std::string detail = {},
             CurrentPhase* current = nullptr)
      : sink_(sink),
        current_(current),
        name_(std::move(name)),
        track_(std::move(track)),
        detail_(std::move(detail)),
        begin_(monotonic_clock().now()) {
    if (current_ != nullptr) current_->show(name_, detail_, begin_);
  }
  ~PhaseScope() {
    if (current_ != nullptr) current_->clear();
    if (sink_ != nullptr)
      sink_->record({.name = std::move(name_),
                     .track = std::move(track_),
                     .begin = begin_,
                     .end = monotonic_clock().now(),
                     .detail = std::move(detail_)});
  }
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  PhaseSink* sink_;
  CurrentPhase* current_;
  std::string name_, track_, detail_;
  Nanoseconds begin_;
};

}  // namespace batchscope
