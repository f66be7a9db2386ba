// Averaging windows and lags (telemetry/calibration/window.h).
#include "telemetry/calibration/window.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "telemetry/calibration/least_squares.h"
#include "telemetry/calibration/refresh.h"

namespace batchscope::calibration {
namespace {

constexpr std::size_t fewest_points = 12;
constexpr double follows = 0.7;  // R² from which on the values are said to follow the load

// Time for which the load has run until t, as a function of t: piecewise linear.
class BusyTime {
 public:
  explicit BusyTime(std::span<const Burst> bursts) {
    double sum = 0;
    for (const Burst& burst : bursts) {
      begins_.push_back(to_seconds(burst.begin));
      ends_.push_back(to_seconds(burst.end));
      before_.push_back(sum);
      sum += burst.seconds();
    }
  }
  double until(double t) const {
    const auto next = std::upper_bound(begins_.begin(), begins_.end(), t);
    if (next == begins_.begin()) return 0;
    const auto i = static_cast<std::size_t>(next - begins_.begin()) - 1;
    return before_[i] + std::min(t, ends_[i]) - begins_[i];
  }
  // Share of the `window` before t; a window of nothing is the instant itself.
  double share(double t, double window) const { return (until(t) - until(t - window)) / window; }

 private:
  std::vector<double> begins_, ends_, before_;
};

struct Line {
  double idle = 0, gain = 0, squares = std::numeric_limits<double>::infinity();
};

// Least squares of value = idle + gain · share.
Line fit_line(std::span<const Point> points, const BusyTime& busy, double window, double lag) {
  double x = 0, y = 0, xx = 0, xy = 0, yy = 0;
  for (const Point& point : points) {
    const double share = busy.share(point.seconds - lag, window);
    x += share;
    y += point.value;
    xx += share * share;
    xy += share * point.value;
    yy += point.value * point.value;
  }
  const auto n = static_cast<double>(points.size());
  const double spread = xx - x * x / n, together = xy - x * y / n, total = yy - y * y / n;
  if (spread < 1e-12) return {};
  const double gain = together / spread;
  return {.idle = (y - gain * x) / n, .gain = gain, .squares = std::max(0.0, total - gain * together)};
}

struct Best {
  double window = 0, lag = 0;
  Line line;
};

// The best of a coarse grid, by some of the points; then of finer and finer ones around the best, by all.
Best search(std::span<const Point> points, const BusyTime& busy, const WindowLimits& limits) {
  constexpr int coarse = 80, fine = 4;
  constexpr std::size_t enough_points = 400;
  const double shortest = limits.longest_window / (4 * coarse);
  Best best;
  const auto look = [&](std::span<const Point> at, double window, double lag) {
    const Line line = fit_line(at, busy, window, lag);
    if (line.squares < best.line.squares) best = {.window = window, .lag = lag, .line = line};
  };
  std::vector<Point> some;
  for (std::size_t i = 0; i < points.size(); i += points.size() / enough_points + 1) some.push_back(points[i]);
  for (int i = 1; i <= coarse; ++i)
    for (int j = -2; j <= coarse; ++j) look(some, i * limits.longest_window / coarse, j * limits.longest_lag / coarse);
  best.line = fit_line(points, busy, best.window, best.lag);
  double window_step = limits.longest_window / coarse, lag_step = limits.longest_lag / coarse;
  for (int round = 0; round < 10; ++round) {
    const Best centre = best;
    window_step /= 2;
    lag_step /= 2;
    for (int i = -fine; i <= fine; ++i)
      for (int j = -fine; j <= fine; ++j)
        look(points, std::max(shortest, centre.window + i * window_step), centre.lag + j * lag_step);
  }
  return best;
}

// Standard errors of window and lag from the curvature of the sum of squares at its least.
std::array<double, 2> standard_errors(std::span<const Point> points, const BusyTime& busy, const Best& best,
                                      const WindowLimits& limits) {
  const double hw = std::max(0.02 * best.window, 1e-3 * limits.longest_window);
  const double hl = std::max(0.02 * best.window, 1e-3 * limits.longest_lag);
  const auto squares = [&](int i, int j) {
    return fit_line(points, busy, std::max(hw / 2, best.window + i * hw), best.lag + j * hl).squares;
  };
  const double here = squares(0, 0);
  const double ww = (squares(1, 0) - 2 * here + squares(-1, 0)) / (hw * hw);
  const double ll = (squares(0, 1) - 2 * here + squares(0, -1)) / (hl * hl);
  const double wl = (squares(1, 1) - squares(1, -1) - squares(-1, 1) + squares(-1, -1)) / (4 * hw * hl);
  const double variance = here / static_cast<double>(points.size() - 4);
  const double determinant = ww * ll - wl * wl;
  if (!(determinant > 0) || !(ww > 0)) return {limits.longest_window, limits.longest_lag};  // a flat valley: anything
  return {std::sqrt(2 * variance * ll / determinant), std::sqrt(2 * variance * ww / determinant)};
}

WindowFit no_fit(const std::string& why) {
  return {Estimate::absent(why), Estimate::absent(why), Estimate::absent(why), Estimate::absent(why)};
}

}  // namespace

std::vector<Point> points_at_changes(const Series& series) {
  std::vector<Point> points;
  for (const Change& change : changes_of(series))
    points.push_back({.seconds = to_seconds(change.middle), .value = change.value});
  return points;
}

std::vector<Point> points_at_readings(const Series& series) {
  std::vector<Point> points;
  for (const TimedValue& reading : series)
    if (reading.value) points.push_back({.seconds = to_seconds(reading.after), .value = *reading.value});
  return points;
}

std::vector<Point> points_of_rates(const Series& series, bool is_refreshed) {
  std::vector<Point> totals;
  if (is_refreshed)
    totals = points_at_changes(series);
  else
    for (const TimedValue& reading : series)
      if (reading.value) totals.push_back({.seconds = to_seconds(reading.middle()), .value = *reading.value});
  std::vector<Point> rates;
  for (std::size_t i = 1; i < totals.size(); ++i)
    if (totals[i].seconds > totals[i - 1].seconds)
      rates.push_back({.seconds = totals[i].seconds,
                       .value = (totals[i].value - totals[i - 1].value) / (totals[i].seconds - totals[i - 1].seconds)});
  return rates;
}

WindowFit fit_window(std::span<const Point> points, std::span<const Burst> bursts, const WindowLimits& limits) {
  if (points.size() < fewest_points)
    return no_fit(fmt::format("only {} values were seen, too few to fit a window", points.size()));
  const BusyTime busy(bursts);
  const Best best = search(points, busy, limits);
  double sum = 0, squares = 0;
  for (const Point& point : points) sum += point.value, squares += point.value * point.value;
  const auto n = static_cast<double>(points.size());
  const double total = squares - sum * sum / n, explained = total > 0 ? 1 - best.line.squares / total : 0;
  if (!(explained >= follows))
    return no_fit(fmt::format("its values do not follow the load: a window explains {:.0f} % of their variance",
                              100 * std::max(0.0, explained)));
  const auto [window_error, lag_error] = standard_errors(points, busy, best, limits);

  std::vector<std::vector<double>> rows;
  std::vector<double> values;
  for (const Point& point : points) {
    rows.push_back({1, busy.share(point.seconds - best.lag, best.window)});
    values.push_back(point.value);
  }
  const auto line = least_squares(rows, values);
  const auto count = static_cast<std::int64_t>(points.size());
  const std::string how = fmt::format("boxcar over {} bursts of a known load, {:.1f} % of the variance explained",
                                      bursts.size(), 100 * explained);
  return {.window = {.value = best.window, .uncertainty = window_error, .n = count, .how = how},
          .lag = {.value = best.lag, .uncertainty = lag_error, .n = count, .how = how},
          .gain = {.value = line->coefficient[1], .uncertainty = line->standard_error[1], .n = count, .how = how},
          .idle = {.value = line->coefficient[0], .uncertainty = line->standard_error[0], .n = count, .how = how}};
}

Estimate step_lag(const Series& series, std::span<const Nanoseconds> instants) {
  const auto changes = changes_of(series);
  std::vector<double> lags, widths;
  for (std::size_t i = 0; i < instants.size(); ++i) {
    const auto change = std::find_if(changes.begin(), changes.end(),
                                     [&](const Change& seen) { return seen.middle + seen.half_width >= instants[i]; });
    if (change == changes.end() || (i + 1 < instants.size() && change->middle >= instants[i + 1])) continue;
    lags.push_back(std::max(0.0, to_seconds(change->middle - instants[i])));
    widths.push_back(to_seconds(change->half_width));
  }
  if (lags.size() < 3)
    return Estimate::absent(
        fmt::format("its value followed {} of {} changes of the load", lags.size(), instants.size()));
  const double spread = quantile(lags, 0.84) - quantile(lags, 0.16);
  return {.value = median(lags),
          .uncertainty = std::max(spread / 2, median(widths)) / std::sqrt(static_cast<double>(lags.size())),
          .n = static_cast<std::int64_t>(lags.size()),
          .how = "median time from a change of the load to the next change of the value"};
}

}  // namespace batchscope::calibration
