// One counter over time, as far back as a screen shows it. What is not known stays unknown: nothing is drawn across it.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/counter.h"

namespace batchscope::top {

// Of values in columns of equal time, the oldest first; where nothing is known there is nothing.
using History = std::vector<std::optional<double>>;

class Track {
 public:
  struct Point {
    Nanoseconds at{0};
    double value = 0;  // of a cumulative counter: its total
  };
  // A time without readings, or in which a cumulative counter's increase is unknown.
  struct Absence {
    Nanoseconds begin{0}, end{0};
    std::string reason{};
  };

  explicit Track(Counter counter) : counter_(std::move(counter)) {}
  const Counter& counter() const { return counter_; }

  // Both in the order of time.
  void add(Nanoseconds at, double value);
  void add_absence(Nanoseconds begin, Nanoseconds end, std::string_view reason);  // prolongs the last if it is the same
  void set(std::vector<Point> points, std::vector<Absence> absences);             // in place of all
  void keep_last(std::size_t points);                                             // forgets older ones, some at a time

  // As of `at`; what came later is not seen. Of a cumulative counter what it grew by per second over the last `step`,
  // of a window its mean over that time, of a gauge its last value. Nothing where the readings have ceased.
  std::optional<double> now(Nanoseconds at, Nanoseconds step) const;
  // The last value itself: of a cumulative counter its total.
  std::optional<double> last(Nanoseconds at) const;
  // Why there is no value; empty where there is one, or where readings have ceased.
  std::string_view why_absent(Nanoseconds at) const;
  // There are readings, with a value or without.
  bool is_read(Nanoseconds at) const;
  // `columns` values of a step each. The last column is the last of which everything is known, so that it is not drawn
  // before its readings are there; columns begin at multiples of the step, so that they do not change once drawn.
  History history(Nanoseconds at, Nanoseconds step, std::size_t columns) const;

 private:
  std::size_t points_until(Nanoseconds at) const;  // how many
  Nanoseconds patience(std::size_t points) const;
  const Absence* absence_between(Nanoseconds begin, Nanoseconds end) const;
  std::optional<double> rate(std::size_t points, Nanoseconds step) const;
  void add_rates(std::size_t points, Nanoseconds begin, Nanoseconds step, History& out) const;
  void add_levels(std::size_t points, Nanoseconds begin, Nanoseconds step, History& out) const;

  Counter counter_;
  std::vector<Point> points_;
  std::vector<Absence> absences_;
};

// All counters, by device. References to tracks stay valid.
class Tracks {
 public:
  struct Device {
    std::string name{};
    bool is_virtual = false;
    std::map<std::string, Track*, std::less<>> by_name{};  // the newest of a name

    const Track* find(std::string_view counter) const;
  };

  Track& add(Counter counter);
  const std::deque<Device>& devices() const { return devices_; }  // in the order of appearance
  const Device* device(std::string_view name) const;

 private:
  std::deque<Track> tracks_;
  std::deque<Device> devices_;
  std::map<std::string, Device*, std::less<>> device_by_name_;
};

}  // namespace batchscope::top
