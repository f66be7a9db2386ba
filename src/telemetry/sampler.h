// Reads each source in a thread of its own, at absolute deadlines: no drift, and a slow source delays no other. All
// together keep to a CPU budget.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "telemetry/cpu_budget.h"
#include "telemetry/histogram.h"
#include "telemetry/ring.h"
#include "telemetry/source.h"
#include "telemetry/summary/sampler_figures.h"

namespace batchscope {

constexpr Nanoseconds default_period = curve_period;
constexpr Nanoseconds shortest_period{1'000'000};

// One source's schedule, without a thread: tests drive it by hand.
class SourceSampler {
 public:
  SourceSampler(std::unique_ptr<Source> source, Nanoseconds asked, Clock& clock);

  // Looks for devices the first time, which may take as long as a driver or a server lets it; before anything else, by
  // the thread that will read.
  void look_first();
  // Prepares the source; deadlines count from then on, the first after `delay`, the second after this share of a period
  // more. To be called by the thread that will keep them.
  void begin(Nanoseconds delay, double first_period = 1);
  // The next deadline; never sleeps longer than this.
  Nanoseconds deadline() const { return start_ + next_ * period_; }
  Pace pace() const;                                                                              // any thread
  Nanoseconds period() const { return Nanoseconds(period_ns_.load(std::memory_order_relaxed)); }  // now; any thread
  // Reads everything once, then sets the next deadline in the future. To be called at or after the deadline.
  void tick();
  // Moves the next deadline where another period was set.
  void follow_period();
  bool is_to_change_period() const { return wanted_period_ns_.load(std::memory_order_relaxed) != period_.count(); }
  // Reads everything out of turn.
  void read_extra() { read(false); }
  // Reads everything once more, out of turn: the last values of what has just ended, and what is still kept back.
  void read_last();

  // For the consumer, in any thread.
  const std::string& name() const { return name_; }
  bool has_looked() const { return has_looked_.load(std::memory_order_acquire); }  // then there is a ring
  TickRing& ring() { return *ring_; }
  // All groups that ever were, but for forgotten ones, in the order of their appearance.
  std::vector<CounterGroup> groups() const;
  // Those of them whose device is gone: nothing of them comes into the ring any more.
  std::vector<std::int64_t> ended_groups() const;
  void forget_group(std::int64_t id);  // an ended one
  SamplerFigures figures() const;
  bool has_rows() const { return has_rows_.load(std::memory_order_relaxed); }  // or has had
  // What a reading costs; absent before the first few.
  std::optional<ReadingCost> cost() const;
  Nanoseconds cpu_time() const { return Nanoseconds(cpu_ns_.load(std::memory_order_relaxed)); }  // until now
  // To be followed by the thread that keeps the deadlines, at once or with the next tick.
  void set_period(Nanoseconds period) { wanted_period_ns_.store(period.count(), std::memory_order_relaxed); }
  // Since when a call into the source has not returned, where that is longer than it should be.
  std::optional<Nanoseconds> stuck_since() const;

 private:
  // While it lives, a call into the source has not returned.
  class Call;
  // The rows of one group on their way into the ring.
  class GroupRows;
  // What was last kept of a group that refreshes slowly.
  struct Kept {
    std::int64_t group = 0;
    Nanoseconds when{0};
    std::vector<Reading> row{};  // empty: nothing yet
  };

  void discover(Nanoseconds now);
  void read(bool is_last);
  void ask_pace();

  std::unique_ptr<Source> source_;
  std::string name_;
  Clock& clock_;
  Nanoseconds asked_;
  const Nanoseconds longest_call_;
  Nanoseconds period_{0};
  double first_period_ = 1;
  Nanoseconds start_;      // of the deadlines' count
  std::int64_t next_ = 0;  // number of the next deadline
  Nanoseconds discovered_{0};
  std::vector<Reading> readings_;
  std::vector<Kept> kept_;  // one a group that there is now

  std::unique_ptr<TickRing> ring_;
  Histogram lateness_, calls_;
  std::atomic<std::int64_t> first_cpu_ns_{0};  // at the end of the first reading, which is dearer than others
  std::atomic<std::int64_t> readings_made_{0}, ticks_{0}, missed_{0}, dropped_{0}, cpu_ns_{0}, period_ns_{0},
      wanted_period_ns_{0}, in_call_since_ns_{0}, began_ns_{0};
  std::atomic<bool> has_looked_{false}, has_rows_{false};
  mutable std::mutex groups_mutex_;  // only when devices come or go, paces change or are asked for
  Pace pace_;                        // set by the sampling thread alone
  std::vector<CounterGroup> all_groups_;
  std::vector<std::int64_t> ended_groups_;
};

struct SamplerOptions {
  Nanoseconds period = default_period;
  CpuBudget cpu_budget = default_cpu_budget();  // for all sources and the thread that writes
};

// The threads. Sampling begins with the object and ends with stop(). The object is there when every source has looked
// for its devices, or after a while: what a driver or a server holds up comes later, and keeps nobody waiting.
class Sampler {
 public:
  Sampler(std::vector<std::unique_ptr<Source>> sources, const SamplerOptions& options);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // One more source, read from now on; dropped after stop(), or where no more threads may be started.
  void add(std::unique_ptr<Source> source);
  // Reads everything a last time and returns when every thread has ended; the rings keep what was not taken. A thread
  // whose source does not return from a call is left behind after a while.
  void stop();
  // Has every source read once more, now; returns when all have, or after a while.
  void read_now();
  // Returns when every source that has counters has given a row, or after a while.
  void wait_for_rows() const;
  std::vector<std::shared_ptr<SourceSampler>> sources() const;  // now
  // What is to come out of the same budget: CPU time until now, and as a share of a core from now on.
  struct OtherCost {
    Nanoseconds spent{0};
    double share = 0;
  };
  // Slows sources down, or lets them go at their pace again, by what they and others have cost until now. To be called
  // from time to time.
  void keep_to_budget(const OtherCost& other);
  // What was spent until now was preparation: it need not be saved again.
  void start_account();

 private:
  // What a thread shares with this object, which may end before it.
  struct ThreadState {
    std::mutex mutex;
    std::condition_variable changed;
    bool has_looked = false, stop = false, ended = false, read_now = false;
  };
  struct Running {
    std::shared_ptr<SourceSampler> source;
    std::shared_ptr<ThreadState> state;
    std::thread thread;
  };
  void start(std::unique_ptr<Source> source);
  void wait_for_first_looks();
  static void run(SourceSampler& source, ThreadState& state, double place);

  Nanoseconds account_began_, spent_before_{0};  // of what may be spent
  SamplerOptions options_;
  mutable std::mutex mutex_;  // of what follows
  bool is_account_to_start_ = false;
  std::vector<Running> running_;
  bool is_stopped_ = false;
};

}  // namespace batchscope
