// A source of counters: the host, the virtual devices, a driver. The sampler gives each its own thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "telemetry/counter.h"

namespace batchscope {

// Counters that are read together and share their instants: those of one device, as a rule.
struct CounterGroup {
  std::int64_t id = 0;  // unique in the source for its lifetime: a device that comes back has a new one
  std::vector<Counter> counters{};
  // The values change by themselves, more slowly than they may be read: a row that only repeats the last is not kept,
  // but for one a second, which says that nothing changed.
  bool refreshes_slowly = false;
};

constexpr Nanoseconds longest_relaxed_period = std::chrono::seconds(10);
constexpr Nanoseconds curve_period{166'666'667};  // 1/6 s: of a main curve, six values a second

// How often a source is to be read.
struct Pace {
  Nanoseconds wanted{0};   // more rarely only when the CPU budget demands it
  Nanoseconds longest{0};  // never more rarely, whatever it costs
  bool is_extra = false;   // asked for by itself: other sources need not make room for it in the CPU budget
  // Of a main curve: never more rarely, whatever it costs, unless the user has set the CPU budget.
  std::optional<Nanoseconds> curve{};
  bool operator==(const Pace&) const = default;

  // Of what loses detail when it is read more rarely, but no total.
  static Pace relaxed(Nanoseconds wanted) { return {wanted, std::max(wanted, longest_relaxed_period)}; }
  // Likewise, of a curve that everybody looks at: utilisation, activity, memory, power, traffic.
  static Pace main_curve(Nanoseconds wanted) {
    Pace pace = relaxed(wanted);
    pace.curve = std::max(wanted, curve_period);
    return pace;
  }
};

// Where a source puts what it read of one group, row by row. A row has a reading for each counter; rows come in the
// order of their instants.
class Rows {
 public:
  virtual ~Rows() = default;
  // A row of "not read", to be filled in place and then added; the same memory each time.
  virtual std::span<Reading> row() = 0;
  // Keeps that row: it was read between the two instants (of a driver's own sample they are one). Bit i of `are_exact`:
  // the source counted how often counter i wrapped since the row before, however long ago that was, and the value has
  // grown by just what the counter has.
  virtual void add(Nanoseconds before, Nanoseconds after, std::uint64_t are_exact = 0) = 0;
  virtual Clock& clock() const = 0;

  // One row, read now.
  template <class Read>
  void add_now(const Read& read) {
    const std::span<Reading> out = row();
    const Nanoseconds before = clock().now();
    read(out);
    add(before, clock().now());
  }
};

class Source {
 public:
  virtual ~Source() = default;
  virtual std::string name() const = 0;  // unique in a recording
  // Where the user asked to be told every `asked`. May change with any reading.
  virtual Pace pace(Nanoseconds asked) const { return Pace::relaxed(asked); }
  // Once before the first reading, in the thread that reads: may take some tenths of a second.
  virtual void prepare([[maybe_unused]] Clock& clock, [[maybe_unused]] Nanoseconds asked) {}
  // A call that takes longer is stuck.
  virtual Nanoseconds longest_call() const { return std::chrono::seconds(2); }
  // How often to look for devices.
  virtual Nanoseconds discovery_period() const { return std::chrono::seconds(1); }
  // Looks for devices: before the first reading and then once a discovery period, between readings. True when groups()
  // changed. May allocate and take its time; a reading must not.
  virtual bool discover(const Clock& clock) = 0;
  virtual const std::vector<CounterGroup>& groups() const = 0;
  // Reads groups()[group]: one row, or as many as a driver has kept since the last time.
  virtual void read(std::size_t group, Rows& rows) = 0;
  // How often it has read by itself since the last call, in readings that took longer than their period: so many
  // deadlines have not been missed.
  virtual std::int64_t take_own_readings() { return 0; }
  // The last time, instead: what the source kept back until more is known comes now. May take half a second.
  virtual void read_last(std::size_t group, Rows& rows) { read(group, rows); }
};

}  // namespace batchscope
