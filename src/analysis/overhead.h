// What it costs a program that something else runs beside it: runs with and without, interleaved, and the ratio of
// their times.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "analysis/statistics.h"

namespace batchscope {

enum class Arm { without, profiler, compare };  // compare: another monitor, beside the program instead of the profiler

struct OverheadPlan {
  std::int64_t pairs = 10;  // runs of each arm; two at least give an interval
  std::uint64_t seed = 1;   // of the order of runs
  bool has_compare = false;
  bool higher_is_better = false;  // of the measure: a rate, not a time
};

// Runs the program once; its time, or another measure of it, greater than 0.
using MeasureArm = std::function<double(Arm)>;

struct Slowdown {
  Arm arm = Arm::profiler;
  std::vector<double> values{};  // in the order of rounds
  RatioInterval ratio{};         // time with / time without, or the same of a rate; above 1 is slower
};

struct Overhead {
  std::vector<double> without{};
  std::vector<Slowdown> arms{};
};

// A run without anything that does not count, then rounds of one run of each arm, in an order drawn for each round.
Overhead measure_overhead(const OverheadPlan& plan, const MeasureArm& measure);

// In words, with what would have been seen: the interval's upper end.
std::string verdict(const RatioInterval& ratio);

}  // namespace batchscope
