// GPM as a witness (telemetry/sources/gpm_traffic.h).
#include "telemetry/sources/gpm_traffic.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace batchscope {
namespace {

using std::chrono::milliseconds;

constexpr Nanoseconds longest_wait = milliseconds(5);  // for other threads' calls

// The counters count headers that GPM does not: of what goes the same way some percent, and for each read that is
// answered the other way a request. Copies were seen to have requests of 3 % of what they read; of 64 bytes at a time
// they would be 19 %.
constexpr double least_gain = 0.97, most_gain = 1.03, most_requests = 0.25, slack_bytes = 16 << 20;

}  // namespace

std::optional<std::int64_t> only_number_in(Range range, std::int64_t residue, std::int64_t modulus) {
  const auto m = static_cast<double>(modulus);
  const double wraps = std::max(0.0, std::ceil((range.low - static_cast<double>(residue)) / m));
  if (!(wraps < 1e9)) return std::nullopt;
  const std::int64_t number = residue + static_cast<std::int64_t>(wraps) * modulus;
  if (static_cast<double>(number) > range.high || static_cast<double>(number) + m <= range.high) return std::nullopt;
  return number;
}

GpmTraffic::GpmTraffic(const NvmlGpu& gpu, double link_bytes_per_s)
    : gpu_(gpu),
      link_bytes_per_s_(link_bytes_per_s),
      last_(*gpu.library),
      last_but_one_(*gpu.library),
      taken_(*gpu.library),
      shortly_before_(*gpu.library),
      behind_(*gpu.library) {
  request_->count = 2;
  request_->metrics[0].id = nvml::gpm_pcie_tx_mib_per_s;
  request_->metrics[1].id = nvml::gpm_pcie_rx_mib_per_s;
  looks_.reserve(looks_kept);
}

std::optional<GpmTraffic::Bytes> GpmTraffic::rates(const nvml::GpmSnapshot& earlier, const nvml::GpmSnapshot& later) {
  if (later.metrics_since(earlier, *request_, longest_wait) != nvml::success) return std::nullopt;
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

bool GpmTraffic::find_refreshes(Clock& clock) {
  constexpr Nanoseconds step = milliseconds(4);
  bool has_last = false;
  const Nanoseconds deadline = clock.now() + 3 * refresh;
  for (Nanoseconds before = clock.now(); before < deadline; clock.sleep_until(before + step)) {
    const bool is_taken = taken_.take(gpu_.device(), longest_wait) == nvml::success;
    const Nanoseconds after = clock.now();
    const bool is_seen = has_last && is_taken && is_renewed(last_, taken_) && after - before < 2 * step;
    has_last = is_taken;
    std::swap(last_, taken_);
    if (is_seen) {
      seen_ = before + (after - before) / 2;
      looks_.push_back({.instant = instant(), .taken = after});
      return true;
    }
    before = after;
  }
  return false;
}

bool GpmTraffic::follow_refreshes(Clock& clock) {
  constexpr Nanoseconds step = milliseconds(2);
  const Nanoseconds next = seen_ + ((clock.now() - seen_) / refresh + 1) * refresh;
  const auto sample_at = [&](nvml::GpmSnapshot& sample, Nanoseconds instant) {
    clock.sleep_until(instant);
    return sample.take(gpu_.device(), longest_wait) == nvml::success && clock.now() < instant + step;
  };
  if (!sample_at(taken_, clock.now()) || !sample_at(shortly_before_, next - step) || !sample_at(behind_, next + step))
    return false;
  if (is_renewed(shortly_before_, behind_)) return true;
  seen_ += is_renewed(taken_, shortly_before_) ? -step : step;
  return false;
}

void GpmTraffic::look(const Clock& clock) {
  if (looks_.empty()) return;
  const Nanoseconds now = clock.now(), since_refresh = (now - seen_) % refresh;
  if (since_refresh < tolerance || since_refresh > refresh - tolerance) return;  // of which one, is not sure
  const Nanoseconds shown = now - since_refresh - lag;
  if (shown - looks_.back().instant < refresh / 2) return;
  ++failures_;
  if (taken_.take(gpu_.device(), longest_wait) != nvml::success) return;
  const bool was_held_up = clock.now() - now > tolerance;
  // Pairs of samples that are closer than a refresh may give wild values.
  const bool is_close = now - looks_.back().taken < refresh && looks_.size() > 1;
  const Look& since = looks_[looks_.size() - (is_close ? 2 : 1)];
  const auto between = rates(is_close ? last_but_one_ : last_, taken_);
  if (was_held_up || !between) return;
  failures_ = 0;
  Look look{.instant = shown, .taken = now, .total = since.total};
  const auto refreshes = static_cast<double>((shown - since.instant + refresh / 2) / refresh);
  for (std::size_t i = 0; i < look.total.size(); ++i) look.total[i] += (*between)[i] * to_seconds(refresh) * refreshes;
  if (looks_.size() == looks_kept) looks_.erase(looks_.begin());
  looks_.push_back(look);
  std::swap(last_but_one_, taken_);
  std::swap(last_, last_but_one_);
}

bool GpmTraffic::covers(Nanoseconds instant) const {
  return !looks_.empty() && looks_.back().instant + tolerance >= instant;
}

// Totals never fall, and rise no faster than the link carries.
Range GpmTraffic::total_at(std::size_t direction, Nanoseconds instant) const {
  Range range{.low = -INFINITY, .high = INFINITY};
  for (const Look& look : looks_) {
    const double total = look.total[direction];
    const double since = std::max(0.0, to_seconds(instant - (look.instant - tolerance)));
    const double until = std::max(0.0, to_seconds(look.instant + tolerance - instant));
    range.low = std::max(range.low, total - link_bytes_per_s_ * until);
    range.high = std::min(range.high, total + link_bytes_per_s_ * since);
  }
  return range;
}

std::optional<std::array<Range, 2>> GpmTraffic::counted(Span begin, Span end) const {
  if (!covers(end.last) || looks_.front().instant > begin.first + tolerance) return std::nullopt;
  std::array<Range, 2> by_gpm, counted;
  for (const std::size_t i : {0U, 1U}) {
    by_gpm[i].low = std::max(0.0, total_at(i, end.first).low - total_at(i, begin.last).high);
    by_gpm[i].high = std::max(0.0, total_at(i, end.last).high - total_at(i, begin.first).low);
  }
  for (const std::size_t i : {0U, 1U}) {
    const double requests = most_requests * by_gpm[1 - i].high;
    const double by_link = link_bytes_per_s_ * to_seconds(end.last - begin.first);
    counted[i] = {.low = least_gain * by_gpm[i].low - slack_bytes,
                  .high = std::min(most_gain * by_gpm[i].high + requests, by_link) + slack_bytes};
  }
  return counted;
}

}  // namespace batchscope
