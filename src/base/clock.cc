// The host's clocks behind base/clock.h.
#include "base/clock.h"

#include <cerrno>
#include <ctime>

namespace batchscope {
namespace {

Nanoseconds time_of(clockid_t id) {
  timespec time{};
  clock_gettime(id, &time);
  return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

}  // namespace

Nanoseconds MonotonicClock::now() const { return time_of(CLOCK_MONOTONIC); }

void MonotonicClock::sleep_until(Nanoseconds deadline) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(deadline);
  const timespec time{.tv_sec = static_cast<time_t>(seconds.count()),
                      .tv_nsec = static_cast<long>((deadline - seconds).count())};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) == EINTR) {
  }
}

Nanoseconds MonotonicClock::unix_now() const { return unix_time(); }

MonotonicClock& monotonic_clock() {
  static MonotonicClock clock;
  return clock;
}

Nanoseconds unix_time() { return time_of(CLOCK_REALTIME); }
Nanoseconds thread_cpu_time() { return time_of(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace batchscope
