// How often a counter's value is renewed, from readings taken faster than that.
#pragma once

#include <span>

#include "telemetry/calibration/estimate.h"

namespace batchscope::calibration {

// An instant at which something was seen to change, known to lie within `middle` ± `half_width`.
struct Change {
  Nanoseconds middle{0}, half_width{0};
  double value = 0;  // from then on
};
// The changes of a counter's value. A change between readings that lie much further apart than usual is left out.
std::vector<Change> changes_of(const Series& series);

// Period of a clock seen at some instants: the longest of which nearly all distances between instants are whole
// multiples. Seconds. `resolution`: how far an instant may be from where it is said to be, in seconds.
Estimate clock_period(std::span<const double> instants, double resolution);

// Refresh period of a counter that was read fast, in seconds: a refresh that leaves the value as it was is not seen.
// Absent for a counter that changes at nearly every reading (`how` says how fast those came), or hardly ever.
Estimate refresh_period(const Series& series);

// For what is a difference between two samples of the driver's (GPM), of which `pairs` are much closer together than
// the driver renews them: seconds at which one was renewed. Only a pair on both sides of a renewal has something new to
// say; the others say nothing, 0, what was said before, or always the same.
std::vector<double> renewals_of(const Series& pairs);

// What two such samples said that were `gap` seconds apart, under a steady load.
struct GapValue {
  double gap = 0, value = 0;
};
// The shortest gap from which on nearly all pairs say what those furthest apart do, in seconds.
Estimate shortest_sound_gap(std::span<const GapValue> pairs);

}  // namespace batchscope::calibration
