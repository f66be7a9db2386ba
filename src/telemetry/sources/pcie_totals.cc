// Rows of PCIe's counters and GPM's word (telemetry/sources/pcie_totals.h).
#include "telemetry/sources/pcie_totals.h"

#include <algorithm>
#include <utility>

namespace batchscope {
namespace {

using std::chrono::milliseconds;

constexpr Nanoseconds longest_unsure = milliseconds(900), known_time = milliseconds(700);

}  // namespace

PcieTotals::PcieTotals(std::int64_t modulus, Nanoseconds wrap_time) : modulus_(modulus), wrap_time_(wrap_time) {
  kept_.reserve(64);
  known_.reserve(32);
}

void PcieTotals::stop_unwrapping() {
  wraps_ = false;
  kept_.clear();
}

void PcieTotals::give(const GpmTraffic& gpm, Rows& rows) {
  Totals sure = totals_;
  const auto give_until = [&](std::size_t i) {
    add(kept_[i], sure, rows);
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  };
  for (std::size_t i = 0; i < kept_.size();) {
    const PcieRow& row = kept_[i];
    if (may_hide_a_wrap(row) && !gpm.covers(row.when.last)) break;
    follow(row, &gpm, sure);
    if (is_known_at(row, sure)) {
      give_until(i);
      i = 0;
    } else if (row.when.last - kept_[0].when.first >= longest_unsure) {
      sure = totals_;
      follow(kept_[0], &gpm, sure);
      give_until(0);
      i = 0;
    } else {
      ++i;
    }
  }
}

void PcieTotals::give_all(const GpmTraffic* gpm, Rows& rows) {
  Totals sure = totals_;
  for (const PcieRow& row : kept_) {
    follow(row, gpm, sure);
    add(row, sure, rows);
  }
  kept_.clear();
}

// As where the GPU was reset or its driver loaded again, which looks as if the counter had wrapped.
bool PcieTotals::is_beyond_the_link(std::int64_t bytes, Nanoseconds time) const {
  return static_cast<double>(bytes) > static_cast<double>(modulus_) * to_seconds(time) / to_seconds(wrap_time_);
}

std::int64_t PcieTotals::residue_at(const PcieRow& row, std::size_t i, const Total& since) const {
  return (row.readings[i].integer - since.raw + modulus_) % modulus_;
}

// Once around more takes as long as the link needs for all of it.
bool PcieTotals::may_have_wrapped(std::int64_t residue, Nanoseconds time) const {
  return !is_beyond_the_link(residue + modulus_, time);
}

bool PcieTotals::may_hide_a_wrap(const PcieRow& row) const {
  if (!wraps_ || !row.has_values()) return false;
  for (std::size_t i = 0; i < totals_.size(); ++i)
    if (totals_[i] && may_have_wrapped(residue_at(row, i, *totals_[i]), row.when.last - totals_[i]->when.first)) return true;
  return false;
}

// Brings totals up to the row where it is sure what has gone since the last row that was given, or since they were.
void PcieTotals::follow(const PcieRow& row, const GpmTraffic* gpm, Totals& sure) const {
  if (!wraps_ || !row.has_values()) return;
  for (std::size_t i = 0; i < sure.size(); ++i) {
    if (!sure[i]) {
      sure[i] = {.when = row.when, .raw = row.readings[i].integer, .bytes = row.readings[i].integer};
      continue;
    }
    const bool is_given = totals_[i] && sure[i]->when.last == totals_[i]->when.last;
    auto total = totals_[i] ? total_at(row, i, *totals_[i], gpm) : std::nullopt;
    if (!total && !is_given) total = total_at(row, i, *sure[i], gpm);
    if (total) sure[i] = total;
  }
}

bool PcieTotals::is_known_at(const PcieRow& row, const Totals& sure) const {
  return !wraps_ || !row.has_values() || (sure[0]->when.last == row.when.last && sure[1]->when.last == row.when.last);
}

// Absent where GPM cannot tell how often the counter wrapped.
std::optional<PcieTotals::Total> PcieTotals::total_at(const PcieRow& row, std::size_t i, const Total& since,
                                                      const GpmTraffic* gpm) const {
  const std::int64_t raw = row.readings[i].integer, residue = residue_at(row, i, since);
  const Nanoseconds time = row.when.last - since.when.first;
  if (is_beyond_the_link(residue, time))
    return Total{.when = row.when, .raw = raw, .bytes = since.bytes, .is_anew = true};
  std::optional<std::int64_t> increase = residue;
  if (may_have_wrapped(residue, time)) {
    increase = gpm != nullptr ? gpm->increase(i, since.when, row.when, residue) : std::nullopt;
    if (gpm != nullptr && !increase) increase = increase_in_proportion(row, i, since, residue, *gpm);
  }
  if (!increase) return std::nullopt;
  return Total{.when = row.when, .raw = raw, .bytes = since.bytes + *increase};
}

std::optional<std::int64_t> PcieTotals::increase_in_proportion(const PcieRow& row, std::size_t i, const Total& since,
                                                               std::int64_t residue, const GpmTraffic& gpm) const {
  const bool is_long_behind = row.when.last - since.when.first > 5 * GpmTraffic::refresh;
  if (is_long_behind || !are_known_long()) return std::nullopt;
  const Known& begin = known_.front();
  return gpm.increase_in_proportion(i, begin.when.last, since.bytes - begin.bytes[i], since.when.last, row.when.last,
                                    residue);
}

bool PcieTotals::are_known_long() const {
  return !known_.empty() && known_.back().when.first - known_.front().when.last >= known_time;
}

// Of not much more than the known time; none where an increase in between is unknown.
void PcieTotals::note_known(const PcieRow& row, bool is_exact) {
  if (!is_exact) known_.clear();
  if (!known_.empty() && row.when.last - known_.back().when.first < known_time / 24) return;
  while (known_.size() > 1 && row.when.first - known_[1].when.last >= known_time) known_.erase(known_.begin());
  known_.push_back({.when = row.when, .bytes = {totals_[0]->bytes, totals_[1]->bytes}});
}

void PcieTotals::add(const PcieRow& row, Totals& sure, Rows& rows) {
  const std::span<Reading> out = rows.row();
  std::copy(row.readings.begin(), row.readings.end(), out.begin());
  std::uint64_t are_exact = 0;
  if (wraps_ && row.has_values()) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (sure[i]->when.last == row.when.last)
        are_exact |= 1ULL << i;
      else
        sure[i] = {.when = row.when, .raw = row.readings[i].integer, .bytes = sure[i]->bytes};
      out[i] = Reading::of(sure[i]->bytes);
      if (std::exchange(sure[i]->is_anew, false)) out[i].lost = counter_went_back;
    }
    totals_ = sure;
    note_known(row, are_exact == 0b11);
  }
  rows.add(row.when.first, row.when.last, are_exact);
}

}  // namespace batchscope
