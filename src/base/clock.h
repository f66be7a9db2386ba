// Time as the program sees it: a clock that tests can inject.
#pragma once

#include <chrono>

namespace batchscope {

using Nanoseconds = std::chrono::nanoseconds;

inline double to_seconds(Nanoseconds time) { return std::chrono::duration<double>(time).count(); }
inline Nanoseconds from_seconds(double seconds) {
  return std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(seconds));
}

class Clock {
 public:
  virtual ~Clock() = default;
  // Time since an epoch of the clock's own; never goes back.
  virtual Nanoseconds now() const = 0;
  // Returns at or after the deadline (at once when it has passed).
  virtual void sleep_until(Nanoseconds deadline) = 0;
  // The wall clock at the same moment, since 1970: to understand instants that others stamp with it. It may be set
  // forth and back.
  virtual Nanoseconds unix_now() const = 0;
};

// CLOCK_MONOTONIC, with absolute sleeps (clock_nanosleep, TIMER_ABSTIME).
class MonotonicClock : public Clock {
 public:
  Nanoseconds now() const override;
  void sleep_until(Nanoseconds deadline) override;
  Nanoseconds unix_now() const override;
};

// The clock that everything of the host shares.
MonotonicClock& monotonic_clock();

// A clock that moves only when told, for tests: sleeping moves it.
class ManualClock : public Clock {
 public:
  Nanoseconds now() const override { return now_; }
  void sleep_until(Nanoseconds deadline) override {
    if (deadline > now_) now_ = deadline;
  }
  void advance(Nanoseconds by) { now_ += by; }
  Nanoseconds unix_now() const override { return now_ + unix_offset_; }
  void set_unix_offset(Nanoseconds offset) { unix_offset_ = offset; }

 private:
  Nanoseconds now_{0}, unix_offset_{0};
};

// Wall clock (CLOCK_REALTIME) now, since 1970; for naming moments, never for measuring.
Nanoseconds unix_time();
// CPU time that the calling thread has used.
Nanoseconds thread_cpu_time();

}  // namespace batchscope
