// How many times as long one run of a study took as another, and whether that is more than noise.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>

namespace batchscope {

using SecondsOfRepeats = std::map<std::int64_t, double>;  // by the repeat's number; all > 0

// A cell in both runs. Repeat 3 of one has nothing in common with repeat 3 of the other: they are two samples.
struct CellTimes {
  SecondsOfRepeats a, b;
};

struct TimeRatio {
  double ratio = 1;                 // b / a, of geometric means
  std::optional<double> low, high;  // 95 %; absent where one side has a single repeat
  std::optional<double> p_slower;   // of such a ratio or a larger one, were there no difference
  std::optional<double> p_faster;
};

// Two runs made at different times differ by more than the repeats of each show: clocks, memory layout and neighbours
// stay alike within a run and change between runs. The standard deviation, of a whole run's logarithm of time, that is
// allowed for on top of what repeats show: as much as the repeats of a run differ in common, over all its cells, and
// never less than `least_run_noise`, since no file can show it (bench/compare_false_alarms.py measures it).
constexpr double least_run_noise = 0.02;
double run_noise(std::span<const CellTimes> cells);

// Welch's test on logarithms, with that noise once for each run. At least one repeat on each side.
TimeRatio time_ratio(const CellTimes& cell, double run_noise);

// Of all cells together: the geometric mean of their ratios. Cells of one repeat ran close together and share its
// weather, so their noise is taken repeat by repeat and not cell by cell. Cells with a single repeat on a side are left
// out; absent where fewer than two are left.
std::optional<TimeRatio> overall_time_ratio(std::span<const CellTimes> cells, double run_noise);

}  // namespace batchscope
