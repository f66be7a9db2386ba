// Values, rates and histories of a counter (top/track.h).
#include "top/track.h"

#include <algorithm>

namespace batchscope::top {
namespace {

using std::chrono::seconds;

// No source is read more rarely than every 2 s unless it was asked to be.
constexpr Nanoseconds least_patience = seconds(3);
// A column of which less is known says nothing.
constexpr double least_known_share = 0.25;

}  // namespace

void Track::add(Nanoseconds at, double value) { points_.push_back({at, value}); }

void Track::add_absence(Nanoseconds begin, Nanoseconds end, std::string_view reason) {
  if (!absences_.empty() && absences_.back().reason == reason && absences_.back().end >= begin)
    absences_.back().end = end;
  else
    absences_.push_back({begin, end, std::string(reason)});
}

void Track::set(std::vector<Point> points, std::vector<Absence> absences) {
  points_ = std::move(points);
  absences_ = std::move(absences);
}

void Track::keep_last(std::size_t points) {
  if (points_.size() <= 2 * points) return;
  points_.erase(points_.begin(), points_.end() - static_cast<std::ptrdiff_t>(points));
  std::erase_if(absences_, [&](const Absence& absence) { return absence.end < points_.front().at; });
}

std::size_t Track::points_until(Nanoseconds at) const {
  const auto after = std::upper_bound(points_.begin(), points_.end(), at,
                                      [](Nanoseconds time, const Point& point) { return time < point.at; });
  return static_cast<std::size_t>(after - points_.begin());
}

// How long the last value is believed: some readings may be late.
Nanoseconds Track::patience(std::size_t points) const {
  if (points < 2) return least_patience;
  const Nanoseconds before = points_[points - 2].at, last = points_[points - 1].at;
  if (absence_between(before, last) != nullptr) return least_patience;
  return std::max(least_patience, 2 * (last - before));
}

// The last one that reaches into the time between the two instants.
const Track::Absence* Track::absence_between(Nanoseconds begin, Nanoseconds end) const {
  for (auto absence = absences_.rbegin(); absence != absences_.rend(); ++absence) {
    if (absence->end <= begin) return nullptr;  // they are in order
    if (absence->begin < end) return &*absence;
  }
  return nullptr;
}

std::optional<double> Track::last(Nanoseconds at) const {
  const std::size_t points = points_until(at);
  if (points == 0) return std::nullopt;
  const Point& point = points_[points - 1];
  if (at - point.at > patience(points) || absence_between(point.at, at) != nullptr) return std::nullopt;
  return point.value;
}

std::string_view Track::why_absent(Nanoseconds at) const {
  const std::size_t points = points_until(at);
  const Nanoseconds last = points > 0 ? points_[points - 1].at : Nanoseconds::min();
  const Absence* absence = absence_between(last, at);
  if (absence == nullptr || at - absence->end > least_patience) return {};
  return absence->reason;
}

bool Track::is_read(Nanoseconds at) const { return last(at) || !why_absent(at).empty(); }

std::optional<double> Track::now(Nanoseconds at, Nanoseconds step) const {
  const auto value = last(at);
  if (!value || counter_.kind == CounterKind::gauge) return value;
  const std::size_t points = points_until(at);
  if (counter_.kind == CounterKind::cumulative) return rate(points, step);
  double sum = 0;
  std::size_t count = 0;
  for (std::size_t i = points; i-- > 0 && (count == 0 || points_[i].at > points_[points - 1].at - step); ++count)
    sum += points_[i].value;
  return sum / static_cast<double>(count);
}

// Over the step that ends with the last point; of less, where readings began or went on later.
std::optional<double> Track::rate(std::size_t points, Nanoseconds step) const {
  const Point& last = points_[points - 1];
  const Nanoseconds begin = last.at - step;
  std::size_t first = points - 1;
  while (first > 0 && points_[first].at > begin && absence_between(points_[first - 1].at, points_[first].at) == nullptr)
    --first;
  if (first == points - 1) return std::nullopt;
  Point from = points_[first];
  if (from.at < begin) {
    const Point& next = points_[first + 1];
    from.value += (next.value - from.value) * (to_seconds(begin - from.at) / to_seconds(next.at - from.at));
    from.at = begin;
  }
  const double time = to_seconds(last.at - from.at);
  if (time <= 0) return std::nullopt;
  return (last.value - from.value) / time;
}

History Track::history(Nanoseconds at, Nanoseconds step, std::size_t columns) const {
  History out(columns);
  const std::size_t points = points_until(at);
  if (points == 0 || columns == 0) return out;
  const Nanoseconds last = points_[points - 1].at;
  const Nanoseconds known = at - last > patience(points) || absence_between(last, at) != nullptr ? at : last;
  const Nanoseconds begin = (known / step) * step - static_cast<std::int64_t>(columns) * step;
  if (counter_.kind == CounterKind::cumulative)
    add_rates(points, begin, step, out);
  else
    add_levels(points, begin, step, out);
  return out;
}

// Each increase between two readings is spread evenly over the time between them.
void Track::add_rates(std::size_t points, Nanoseconds begin, Nanoseconds step, History& out) const {
  const double width = to_seconds(step);
  std::vector<double> increase(out.size(), 0), known(out.size(), 0);
  std::size_t i = std::max<std::size_t>(points_until(begin), 1);
  for (; i < points; ++i) {
    const Point &from = points_[i - 1], &to = points_[i];
    if (to.at <= from.at || absence_between(from.at, to.at) != nullptr) continue;
    const double rate = (to.value - from.value) / to_seconds(to.at - from.at);
    double at = std::max(to_seconds(from.at - begin) / width, 0.0);
    const double end = std::min(to_seconds(to.at - begin) / width, static_cast<double>(out.size()));
    for (auto column = static_cast<std::size_t>(at); at < end && column < out.size(); ++column) {
      const double until = std::min(end, static_cast<double>(column + 1));
      increase[column] += rate * (until - at);
      known[column] += until - at;
      at = until;
    }
  }
  for (std::size_t column = 0; column < out.size(); ++column)
    if (known[column] >= least_known_share) out[column] = increase[column] / known[column];
}

// The mean of a column's values; where there are none, the value before holds.
void Track::add_levels(std::size_t points, Nanoseconds begin, Nanoseconds step, History& out) const {
  std::size_t i = points_until(begin);
  for (std::size_t column = 0; column < out.size(); ++column) {
    const Nanoseconds end = begin + static_cast<std::int64_t>(column + 1) * step;
    double sum = 0;
    std::size_t count = 0;
    for (; i < points && points_[i].at <= end; ++i, ++count) sum += points_[i].value;
    if (count > 0) {
      out[column] = sum / static_cast<double>(count);
    } else if (i > 0) {
      const Point& held = points_[i - 1];
      const bool goes_on = i < points && absence_between(held.at, points_[i].at) == nullptr;
      if ((goes_on || end - held.at <= patience(i)) && absence_between(held.at, end) == nullptr)
        out[column] = held.value;
    }
  }
}

const Track* Tracks::Device::find(std::string_view counter) const {
  const auto found = by_name.find(counter);
  return found == by_name.end() ? nullptr : found->second;
}

Track& Tracks::add(Counter counter) {
  auto found = device_by_name_.find(counter.device);
  if (found == device_by_name_.end()) {
    devices_.push_back({.name = counter.device, .is_virtual = counter.is_virtual});
    found = device_by_name_.emplace(counter.device, &devices_.back()).first;
  }
  Track& track = tracks_.emplace_back(std::move(counter));
  found->second->by_name[track.counter().name] = &track;
  return track;
}

const Tracks::Device* Tracks::device(std::string_view name) const {
  const auto found = device_by_name_.find(name);
  return found == device_by_name_.end() ? nullptr : found->second;
}

}  // namespace batchscope::top
