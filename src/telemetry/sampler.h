// Reads each source in a thread of its own, at absolute deadlines: no drift, and a slow source delays no other.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "telemetry/histogram.h"
#include "telemetry/ring.h"
#include "telemetry/source.h"

namespace batchscope {

constexpr Nanoseconds default_period{166'666'667};  // 1/6 s
constexpr Nanoseconds shortest_period{1'000'000};

// What a sampling thread says of itself.
struct SamplerFigures {
  std::string source{};
  Nanoseconds period{0};
  std::int64_t ticks = 0;    // deadlines at which everything was read
  std::int64_t missed = 0;   // deadlines that passed while something held the thread up; never made up for
  std::int64_t dropped = 0;  // readings lost because the consumer was behind
  std::optional<Nanoseconds> period_error_p50{}, period_error_p99{}, period_error_max{};  // woken after the deadline
  std::optional<Nanoseconds> call_p50{}, call_p99{}, call_max{};                          // of reading one group
  std::optional<double> cpu_share{};                                                      // of one core
};

// One source's schedule, without a thread: tests drive it by hand.
class SourceSampler {
 public:
  SourceSampler(std::unique_ptr<Source> source, Nanoseconds period, Clock& clock);

  // The next deadline; never sleeps longer than this.
  Nanoseconds deadline() const { return start_ + next_ * period_; }
  // Reads everything once, then sets the next deadline in the future. To be called at or after the deadline.
  void tick();
  // Reads everything once more, out of turn: the last values of what has just ended.
  void read();

  // For the consumer, in any thread.
  const std::string& name() const { return name_; }
  TickRing& ring() { return ring_; }
  // All groups that ever were, in the order of their appearance.
  std::vector<CounterGroup> groups() const;
  SamplerFigures figures() const;

 private:
  void discover(Nanoseconds now);

  std::unique_ptr<Source> source_;
  std::string name_;
  Nanoseconds period_;
  Clock& clock_;
  Nanoseconds start_;
  std::int64_t next_ = 0;  // number of the next deadline
  Nanoseconds discovered_{0};
  std::vector<Reading> readings_;

  TickRing ring_;
  Histogram lateness_, calls_;
  std::atomic<std::int64_t> ticks_{0}, missed_{0}, dropped_{0}, cpu_ns_{0}, last_ns_{0};
  mutable std::mutex groups_mutex_;  // only when devices come or go
  std::vector<CounterGroup> all_groups_;
};

struct SamplerOptions {
  Nanoseconds period = default_period;
  Clock* clock = nullptr;  // null: the host's monotonic clock
};

// The threads. Sampling begins with the object and ends with stop().
class Sampler {
 public:
  Sampler(std::vector<std::unique_ptr<Source>> sources, const SamplerOptions& options);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // Reads everything a last time and returns when every thread has ended; the rings keep what was not taken.
  void stop();
  const std::vector<std::unique_ptr<SourceSampler>>& sources() const { return sources_; }

 private:
  void run(SourceSampler& source);

  Clock& clock_;
  std::vector<std::unique_ptr<SourceSampler>> sources_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace batchscope
