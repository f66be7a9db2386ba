// GPM as a witness (telemetry/sources/gpm_traffic.h).
#include "telemetry/sources/gpm_traffic.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace batchscope {
namespace {

using std::chrono::milliseconds;

// For other threads' calls. A sample is of the moment at which it is taken, what two of them show may come later.
constexpr Nanoseconds longest_wait = milliseconds(5), longest_wait_for_metrics = milliseconds(20);

// The counters count headers that GPM does not: of what goes the same way some percent, and for each read that is
// answered the other way a request. Copies were seen to have requests of 3 % of what they read; of 64 bytes at a time
// they would be 19 %.
constexpr double least_gain = 0.97, most_gain = 1.03, most_requests = 0.25, slack_bytes = 16 << 20;

}  // namespace

Numbers numbers_in(Bounds range, std::int64_t residue, std::int64_t modulus) {
  const auto m = static_cast<double>(modulus);
  const double wraps = std::max(0.0, std::ceil((range.low - static_cast<double>(residue)) / m));
  if (!(wraps < 1e9)) return {};
  const std::int64_t first = residue + static_cast<std::int64_t>(wraps) * modulus;
  if (static_cast<double>(first) > range.high) return {};
  return {.first = first, .count = static_cast<double>(first) + m <= range.high ? 2 : 1};
}

GpmTraffic::GpmTraffic(const NvmlGpu& gpu, double link_bytes_per_s, std::int64_t modulus)
    : gpu_(gpu),
      link_bytes_per_s_(link_bytes_per_s),
      modulus_(modulus),
      last_(*gpu.library),
      last_but_one_(*gpu.library),
      taken_(*gpu.library),
      before_(*gpu.library),
      behind_(*gpu.library) {
  request_->count = 2;
  request_->metrics[0].id = nvml::gpm_pcie_tx_mib_per_s;
  request_->metrics[1].id = nvml::gpm_pcie_rx_mib_per_s;
  looks_.reserve(looks_kept);
  lags_.set();
}

std::optional<GpmTraffic::Bytes> GpmTraffic::rates(const nvml::GpmSnapshot& earlier, const nvml::GpmSnapshot& later) {
  if (later.metrics_since(earlier, *request_, longest_wait_for_metrics) != nvml::success) return std::nullopt;
  Bytes rates{};
  for (std::size_t i = 0; i < rates.size(); ++i) {
    const nvml::GpmMetric& rate = request_->metrics[i];
    if (rate.result != nvml::success || !(rate.value >= 0)) return std::nullopt;
    rates[i] = rate.value * (1 << 20);
  }
  return rates;
}

// Taking samples is traffic itself: there is always some.
bool GpmTraffic::is_renewed(const nvml::GpmSnapshot& earlier, const nvml::GpmSnapshot& later) {
  const auto between = rates(earlier, later);
  return between && (*between)[0] + (*between)[1] > 0;
}

bool GpmTraffic::find_refreshes(Clock& clock, const std::function<void()>& meanwhile) {
  constexpr Nanoseconds step = milliseconds(4);
  bool has_before = false;
  const Nanoseconds deadline = clock.now() + 3 * refresh;
  for (Nanoseconds last = clock.now(); last < deadline; clock.sleep_until(last + step)) {
    const bool is_taken = behind_.take(gpu_.device(), longest_wait) == nvml::success;
    const Nanoseconds now = clock.now();
    if (has_before && is_taken && now - last < 2 * step && is_renewed(before_, behind_)) {
      seen_ = last + (now - last) / 2;
      doubt_looks();
      return add_look(behind_, now, seen_);
    }
    has_before = is_taken;
    std::swap(before_, behind_);
    last = now;
    if (meanwhile) meanwhile();
  }
  if (!has_before) ++failures_;
  return false;
}

// What was believed to be one refresh may have been another; somewhere between two looks was more or less time than
// believed.
void GpmTraffic::doubt_looks() {
  Bytes error{};
  for (Look& look : looks_) {
    const Nanoseconds seen = look.taken - ((look.taken - seen_) % refresh + refresh) % refresh;
    look.earliest = std::min(look.earliest, seen);
    look.latest = std::max(look.latest, seen);
    for (std::size_t i = 0; i < error.size(); ++i)
      error[i] = std::max(error[i], look.rate[i] * to_seconds(look.latest - look.earliest));
  }
  for (Look& look : looks_)
    for (std::size_t i = 0; i < error.size(); ++i) look.error[i] += error[i];
}

bool GpmTraffic::look(const Clock& clock) {
  if (looks_.empty()) return false;
  const Nanoseconds now = clock.now(), since_refresh = (now - seen_) % refresh;
  if (since_refresh < tolerance || since_refresh > refresh - tolerance) return false;
  const Nanoseconds seen = now - since_refresh;
  if (seen - looks_.back().latest < refresh / 2) return false;
  ++failures_;
  if (taken_.take(gpu_.device(), longest_wait) != nvml::success) return false;
  const bool was_held_up = clock.now() - now > tolerance;
  if (was_held_up || !add_look(taken_, now, seen)) return false;
  failures_ = 0;
  return true;
}

bool GpmTraffic::add_look(nvml::GpmSnapshot& sample, Nanoseconds taken, Nanoseconds seen) {
  Look look{.earliest = seen, .latest = seen, .taken = taken};
  if (!looks_.empty()) {
    // Pairs of samples that are closer than a refresh may give wild values.
    const bool is_close = taken - looks_.back().taken < refresh && looks_.size() > 1;
    const Look& since = looks_[looks_.size() - (is_close ? 2 : 1)];
    const auto between = rates(is_close ? last_but_one_ : last_, sample);
    if (!between) return false;
    const Nanoseconds doubt = (since.latest - since.earliest) / 2;
    look.rate = *between;
    for (std::size_t i = 0; i < look.total.size(); ++i) {
      look.total[i] = since.total[i] + look.rate[i] * to_seconds(seen - since.earliest - doubt);
      for (Look& old : looks_) old.error[i] += look.rate[i] * to_seconds(doubt);
    }
  }
  if (looks_.size() == looks_kept) looks_.erase(looks_.begin());
  looks_.push_back(look);
  std::swap(last_but_one_, sample);
  std::swap(last_, last_but_one_);
  return true;
}

std::size_t GpmTraffic::last_lag() const {
  std::size_t last = lag_count - 1;
  while (!lags_[last]) --last;
  return last;
}

Nanoseconds GpmTraffic::shown_until() const {
  return (looks_.empty() ? Nanoseconds(0) : looks_.back().earliest) - lag(lag_count - 1);
}

bool GpmTraffic::covers(Nanoseconds instant) const {
  return !looks_.empty() && looks_.back().earliest - lag(last_lag()) + tolerance >= instant;
}

// Totals never fall, and rise no faster than the link carries.
std::array<Bounds, 2> GpmTraffic::totals_at(Span when, Nanoseconds lag) const {
  std::array<Bounds, 2> ranges;
  ranges.fill({.low = -INFINITY, .high = INFINITY});
  for (const Look& look : looks_) {
    const Nanoseconds since = when.last - (look.earliest - lag - tolerance);
    const Nanoseconds until = look.latest - lag + tolerance - when.first;
    const double most_since = link_bytes_per_s_ * std::max(0.0, to_seconds(since));
    const double most_until = link_bytes_per_s_ * std::max(0.0, to_seconds(until));
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      ranges[i].low = std::max(ranges[i].low, look.total[i] - look.error[i] - most_until);
      ranges[i].high = std::min(ranges[i].high, look.total[i] + look.error[i] + most_since);
    }
  }
  return ranges;
}

std::array<Bounds, 2> GpmTraffic::counted(const std::array<Bounds, 2>& until_begin,
                                          const std::array<Bounds, 2>& until_end, Nanoseconds time) const {
  std::array<Bounds, 2> by_gpm, counted;
  for (std::size_t i = 0; i < by_gpm.size(); ++i)
    by_gpm[i] = {.low = std::max(0.0, until_end[i].low - until_begin[i].high),
                 .high = std::max(0.0, until_end[i].high - until_begin[i].low)};
  for (std::size_t i = 0; i < counted.size(); ++i) {
    const double requests = most_requests * by_gpm[1 - i].high, by_link = link_bytes_per_s_ * to_seconds(time);
    counted[i] = {.low = least_gain * by_gpm[i].low - slack_bytes,
                  .high = std::min(most_gain * by_gpm[i].high + requests, by_link) + slack_bytes};
  }
  return counted;
}

std::optional<std::int64_t> GpmTraffic::increase(std::size_t direction, Span begin, Span end,
                                                 std::int64_t residue) const {
  if (!covers(end.last)) return std::nullopt;
  std::optional<std::int64_t> only;
  for (std::size_t i = first_lag(); i < lag_count; i = lags_._Find_next(i)) {
    if (looks_.front().latest - lag(i) > begin.first + tolerance) return std::nullopt;
    const auto range = counted(totals_at(begin, lag(i)), totals_at(end, lag(i)), end.last - begin.first);
    const Numbers numbers = numbers_in(range[direction], residue, modulus_);
    if (numbers.count == 0) continue;
    if (numbers.count > 1 || (only && *only != numbers.first)) return std::nullopt;
    only = numbers.first;
  }
  return only;
}

std::optional<double> GpmTraffic::total_near(std::size_t direction, Nanoseconds instant, Nanoseconds lag) const {
  const auto when = [&](const Look& look) { return look.earliest + (look.latest - look.earliest) / 2 - lag; };
  for (std::size_t k = 1; k < looks_.size(); ++k) {
    const Look &before = looks_[k - 1], &after = looks_[k];
    if (when(before) > instant) return std::nullopt;
    if (when(after) < instant) continue;
    const double part = to_seconds(instant - when(before)) / to_seconds(when(after) - when(before));
    return before.total[direction] + part * (after.total[direction] - before.total[direction]);
  }
  return std::nullopt;
}

std::optional<std::int64_t> GpmTraffic::increase_in_proportion(std::size_t direction, Nanoseconds known_since,
                                                               std::int64_t known, Nanoseconds begin, Nanoseconds end,
                                                               std::int64_t residue) const {
  constexpr double most_change = 0.25;
  if (!is_steady(known_since, end, most_change)) return std::nullopt;
  const double most_error = static_cast<double>(modulus_) / 3;
  std::optional<std::int64_t> only;
  for (std::size_t i = first_lag(); i < lag_count; i = lags_._Find_next(i)) {
    const auto until_known = total_near(direction, known_since, lag(i)),
               until_begin = total_near(direction, begin, lag(i)), until_end = total_near(direction, end, lag(i));
    if (!until_known || !until_begin || !until_end) return std::nullopt;
    const double base = *until_begin - *until_known, gain = base > 0 ? static_cast<double>(known) / base : 1;
    const double expected = gain * (*until_end - *until_begin);
    const Numbers near = numbers_in({.low = expected - most_error, .high = expected + most_error}, residue, modulus_);
    if (near.count != 1 || (only && *only != near.first)) return std::nullopt;
    only = near.first;
  }
  return only;
}

bool GpmTraffic::is_steady(Nanoseconds since, Nanoseconds until, double share) const {
  constexpr double least_bytes_per_s = 0.2e9;
  if (looks_.empty() || looks_.front().latest - lag(0) > since) return false;
  if (shown_until() < until) return false;
  Bytes least{INFINITY, INFINITY}, most{};
  for (std::size_t k = 1; k < looks_.size(); ++k) {
    const bool ends_before = looks_[k].latest - lag(0) < since;
    const bool begins_after = looks_[k - 1].earliest - lag(lag_count - 1) > until;
    if (ends_before || begins_after) continue;
    for (std::size_t i = 0; i < most.size(); ++i) {
      least[i] = std::min(least[i], looks_[k].rate[i]);
      most[i] = std::max(most[i], looks_[k].rate[i]);
    }
  }
  for (std::size_t i = 0; i < most.size(); ++i)
    if (most[i] - least[i] > std::max(share * most[i], least_bytes_per_s)) return false;
  return true;
}

bool GpmTraffic::learn_lag(std::span<const Row> rows) {
  for (std::size_t i = first_lag(); i < lag_count; i = lags_._Find_next(i))
    if (!go_together(rows, lag(i))) lags_.reset(i);
  if (lags_.any()) return true;
  forget_lag();
  return false;
}

bool GpmTraffic::go_together(std::span<const Row> rows, Nanoseconds lag) const {
  std::array<std::array<Bounds, 2>, most_rows> totals;
  for (std::size_t i = 0; i < rows.size(); ++i) totals[i] = totals_at(rows[i].when, lag);
  for (std::size_t end = 1; end < rows.size(); ++end) {
    if (rows[end].when.last > looks_.back().earliest - lag + tolerance) break;
    std::array<std::int64_t, 2> rise{};
    bool is_chained = true;
    for (std::size_t begin = end; begin-- > 0;) {
      if (looks_.front().latest - lag > rows[begin].when.first + tolerance) break;
      is_chained = is_chained && rows[begin + 1].is_chained;
      const auto range = counted(totals[begin], totals[end], rows[end].when.last - rows[begin].when.first);
      for (std::size_t i = 0; i < rise.size(); ++i) {
        rise[i] += (rows[begin + 1].raw[i] - rows[begin].raw[i] + modulus_) % modulus_;
        const auto chained = static_cast<double>(rise[i]);
        if (is_chained ? chained < range[i].low || chained > range[i].high
                       : numbers_in(range[i], rise[i] % modulus_, modulus_).count == 0)
          return false;
      }
    }
  }
  return true;
}

}  // namespace batchscope
