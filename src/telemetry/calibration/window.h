// Over which time a counter's value is a mean, and how late it comes: from a load that is switched on and off at known
// instants (the method that arXiv 2312.02741 uses for power).
#pragma once

#include <span>

#include "telemetry/calibration/estimate.h"
#include "telemetry/load/load.h"

namespace batchscope::calibration {

// value(t) = idle + gain · (share of [t − lag − window, t − lag] in which the load ran).
struct WindowFit {
  Estimate window, lag;  // seconds
  Estimate gain, idle;   // in the counter's unit: of the load when it runs all the time, and without it
};

// A value that the counter took on at an instant.
struct Point {
  double seconds = 0;  // host's monotonic clock
  double value = 0;
};
// Of a counter with a refresh period: where its value changed. Of one without: every reading, at its end.
std::vector<Point> points_at_changes(const Series& series);
std::vector<Point> points_at_readings(const Series& series);

// Of a cumulative counter: its increase per second since the point before. Refreshed: between changes of its value;
// else between readings.
std::vector<Point> points_of_rates(const Series& series, bool is_refreshed);

struct WindowLimits {
  double longest_window = 1, longest_lag = 0.5;  // seconds
};
// All four absent, with one reason, where the values do not follow the load.
WindowFit fit_window(std::span<const Point> points, std::span<const Burst> bursts, const WindowLimits& limits = {});

// How long after an instant (begin or end of a burst) the value first changed, for a counter that is no mean: the
// median over the instants, in seconds.
Estimate step_lag(const Series& series, std::span<const Nanoseconds> instants);

}  // namespace batchscope::calibration
