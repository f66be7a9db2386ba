// What a counter says of an interval that does not begin and end at its readings: the part of a cell that was timed.
#pragma once

#include <optional>
#include <span>

#include "store/records.h"

namespace batchscope {

// A sum that is known to less than this share of itself is absent: the interval is too short for the counter.
constexpr double largest_sum_error = 0.1;

// By how much a cumulative series grew within [begin, end]. Between readings it is taken to grow evenly. What is wrong
// with that is bounded by how far the interval's ends lie from their next readings, at twice the greatest rate between
// any two readings there, and by what it grew in those steps. Absent where the readings do not reach around the
// interval, where a gap lies in it, and where the error may exceed largest_sum_error of the sum.
std::optional<double> increase_over(const SampleSeries& series, std::span<const GapRecord> gaps, Nanoseconds begin,
                                    Nanoseconds end);

// The mean of a gauge or window over [begin, end], each reading standing for the time since the one before. Absent
// where no reading lies in the interval.
std::optional<double> mean_over(const SampleSeries& series, Nanoseconds begin, Nanoseconds end);

}  // namespace batchscope
