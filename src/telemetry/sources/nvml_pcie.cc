// Cumulative PCIe bytes (sources/nvml.h).
#include <algorithm>
#include <optional>
#include <utility>

#include "telemetry/sources/gpm_traffic.h"
#include "telemetry/sources/nvml.h"
#include "telemetry/sources/pcie_totals.h"

namespace batchscope {
namespace {

// The counters were seen to wrap at 2^32. A value beyond shows that this driver's do not.
constexpr std::int64_t modulus = 1LL << 32;

// What the link can carry in one direction, in bytes per second, of all generations up to the GPU's own: a link that
// idles at a lower one is up again in no time. PCIe 6.0 of 16 lanes where the driver does not say.
double link_bytes_per_s(const NvmlGpu& gpu) {
  std::uint32_t generation = 0, lanes = 0;
  if (gpu->nvmlDeviceGetMaxPcieLinkGeneration(gpu.device(), &generation) != nvml::success || generation == 0)
    generation = 6;
  if (gpu->nvmlDeviceGetMaxPcieLinkWidth(gpu.device(), &lanes) != nvml::success || lanes == 0) lanes = 16;
  // 2.5 and 5 GT/s with 8 of 10 bits used, 8 GT/s and its doublings with nearly all.
  const double lane =
      generation <= 2 ? 0.25e9 * generation : 1e9 * static_cast<double>(1U << std::min(generation - 3, 8U));
  return lane * lanes;
}

// The counters wrap within a tenth of a second, and reading them costs the better part of a millisecond. Where GPM can
// tell how often they wrapped, they are read sparingly: as of every second of its refreshes, which a sample shows half
// a period later. GPM can where little goes, where it is known how late it is, and where the load is steady (then every
// third is enough). Until one of these is so, and where more is asked, the counters are read as often as the wrap
// demands; rows behind a longer gap, as while a program starts CUDA and the driver holds calls up, then wait for GPM's
// word.
class PcieSource : public NvmlSource {
 public:
  PcieSource(const NvmlGpu& gpu, double speed)
      : NvmlSource(gpu, "pcie"),
        fields_(gpu, {{nvml::field_pcie_tx_bytes}, {nvml::field_pcie_rx_bytes}}),
        wrap_time_(from_seconds(static_cast<double>(modulus) / speed)),
        totals_(modulus, wrap_time_) {
    fields_.read();
    wraps_ = !is_beyond();
    if (!wraps_) totals_.stop_unwrapping();
    if (wraps_ && has_gpm(gpu)) gpm_.emplace(gpu, speed, modulus);
    trail_.reserve(GpmTraffic::most_rows);
    announce(1);
  }

  Pace pace(Nanoseconds asked) const override {
    if (!wraps_) return Pace::relaxed(asked);
    if (can_be_sparing(asked) && !is_alert_) return {.wanted = GpmTraffic::refresh, .longest = GpmTraffic::refresh};
    // Where the budget is short, less is left for a late reading.
    return {.wanted = std::min(asked, wrap_time_ / 2), .longest = wrap_time_ * 3 / 4};
  }
  void prepare(Clock& clock, Nanoseconds asked) override {
    if (gpm_ && !gpm_->find_refreshes(clock)) do_without_gpm();
    is_sparing_ = can_be_sparing(asked);
    be_alert(clock.now() + short_alert);  // a load may be there already
  }
  std::optional<Nanoseconds> anchor() const override {
    return is_sparing_now() ? std::optional(gpm_->instant()) : std::nullopt;
  }
  Nanoseconds discovery_period() const override { return std::chrono::seconds(1); }
  bool discover(const Clock& clock) override {
    const bool first = NvmlSource::discover(clock);
    if (!wraps_ || !was_beyond_) return first;
    wraps_ = false;
    do_without_gpm();
    totals_.stop_unwrapping();
    announce(2);
    return true;
  }

  void read(std::size_t, Rows& rows) override {
    Clock& clock = rows.clock();
    const bool is_fast = !is_sparing_now();
    if (clock.now() >= alert_until_) is_alert_ = false;
    if (is_fast) {
      if (must_check_) lose_refreshes(clock.now());
      read_counters(clock);
      if (gpm_) look(clock);
    } else if (std::exchange(sample_is_due_, false)) {
      const bool has_sample = look_when_shown(clock);
      next_row_may_wait_ = has_sample && is_busy() && has_been_steady(clock.now());  // for the refresh after the next
    } else if (!std::exchange(next_row_may_wait_, false)) {
      if (since_instant(clock.now()) > lateness) be_alert(clock.now() + short_alert);
      read_counters(clock);
      check_refreshes(clock);
      sample_is_due_ = !is_alert_;
    }
    if (gpm_ && refreshes_are_lost_) find_refreshes(clock);
    give(rows);
  }
  void read_last(std::size_t, Rows& rows) override {
    Clock& clock = rows.clock();
    if (std::exchange(sample_is_due_, false)) look_behind_refresh(clock);
    if (is_sparing_ && gpm_->knows_lag())
      clock.sleep_until(clock.now() - since_instant(clock.now()) + GpmTraffic::refresh);
    read_counters(clock);
    if (is_sparing_) check_refreshes(clock);
    if (gpm_ && refreshes_are_lost_) find_refreshes(clock);
    const Nanoseconds deadline = clock.now() + 3 * GpmTraffic::refresh;
    for (give(rows); gpm_ && !totals_.are_all_given() && clock.now() < deadline; give(rows)) look_behind_refresh(clock);
    totals_.give_all(gpm_ ? &*gpm_ : nullptr, rows);
  }

 private:
  bool can_be_sparing(Nanoseconds asked) const {
    // Of two refreshes GPM's bounds are no wider than what this takes at full speed.
    constexpr Nanoseconds shortest_wrap_time = std::chrono::milliseconds(60);
    return wraps_ && gpm_ && wrap_time_ >= shortest_wrap_time && asked >= GpmTraffic::refresh;
  }

  void do_without_gpm() {
    gpm_.reset();
    is_sparing_ = sample_is_due_ = must_check_ = false;
  }

  bool is_sparing_now() const { return is_sparing_ && !is_alert_; }

  // Since the last one as of which GPM gives its totals; deadlines lie at such instants.
  Nanoseconds since_instant(Nanoseconds now) const { return (now - gpm_->instant()) % GpmTraffic::refresh; }

  void check_refreshes(Clock& clock) {
    if (!is_busy()) is_checked_while_busy_ = false;
    if (refreshes_are_lost_ || !check_is_due(clock.now())) return;
    const std::optional<bool> are_there = gpm_->check_refreshes(clock);
    if (must_check_ && !are_there.value_or(false)) return lose_refreshes(clock.now());
    if (!are_there) return;  // with the next row, then
    checked_ = clock.now();
    is_checked_while_busy_ = is_busy();
    is_unsure_ = must_check_ = false;
    refreshes_are_lost_ = !*are_there;
  }

  // When a program starts CUDA, refreshes may move: what it copies first shows that one has.
  bool check_is_due(Nanoseconds now) const {
    constexpr Nanoseconds shortest = std::chrono::seconds(1), longest = std::chrono::seconds(10);
    const bool begins = is_busy() && !is_checked_while_busy_;
    return is_unsure_ || must_check_ || now - checked_ >= (begins ? shortest : longest);
  }
  // Much has gone since the last row but one, as far as the counters show.
  bool is_busy() const {
    if (trail_.size() < 2) return false;
    constexpr double least_bytes_per_s = 2.5e9;
    const GpmTraffic::Row &last = trail_.back(), &before = trail_[trail_.size() - 2];
    const double least = least_bytes_per_s * to_seconds(last.when.last - before.when.last);
    for (std::size_t i = 0; i < last.raw.size(); ++i)
      if (static_cast<double>((last.raw[i] - before.raw[i] + modulus) % modulus) > least) return true;
    return false;
  }

  // Until they are found, the counters are read as if there were no GPM.
  void find_refreshes(Clock& clock) {
    refreshes_are_lost_ = false;
    const bool are_found = gpm_->find_refreshes(clock, [&] {
      if (clock.now() - last_read_ >= wrap_time_ / 2) read_counters(clock);
    });
    refreshes_are_lost_ = refreshes_are_lost_ || !are_found;
  }

  bool look(Clock& clock) {
    const Nanoseconds begin = clock.now();
    const bool is_new = gpm_->look(clock);
    note_call(begin, clock.now());
    if (gpm_->is_failing()) be_alert(clock.now() + short_alert);
    if (is_new && !gpm_->learn_lag(trail_)) refreshes_are_lost_ = true;
    return is_new;
  }
  // The next sample that shows all that went until now.
  void look_behind_refresh(Clock& clock) {
    clock.sleep_until(clock.now() + GpmTraffic::refresh / 4);
    look_when_shown(clock);
  }
  bool look_when_shown(Clock& clock) {
    gpm_->wait_until_shown(last_read_, clock);
    return look(clock);
  }

  // For a while the counters are read as if there were no GPM.
  void be_alert(Nanoseconds until) {
    is_alert_ = true;
    alert_until_ = std::max(alert_until_, until);
  }

  // Where the driver holds calls up, as while a program starts CUDA, instants are missed, refreshes move, and much may
  // follow.
  void note_call(Nanoseconds begin, Nanoseconds end) {
    if (end - begin <= held_up || !gpm_) return;
    if (is_sparing_now() && has_been_steady(end))
      must_check_ = true;  // others' dear calls can hold one up too
    else
      lose_refreshes(end);
  }
  void lose_refreshes(Nanoseconds now) {
    must_check_ = false;
    be_alert(now + std::chrono::seconds(2));
    refreshes_are_lost_ = true;
    gpm_->forget_lag();
  }

  // When little has gone for a while, a program may start that changes GPM's lag.
  void note_traffic(Nanoseconds now) {
    if (!totals_.is_steady(*gpm_)) unsteady_until_ = now;
    if (is_busy()) {
      busy_until_ = now;
      if (!gpm_->knows_lag() && !has_been_steady(now)) be_alert(now + short_alert);
    } else if (now - busy_until_ > std::chrono::seconds(1)) {
      gpm_->forget_lag();
    }
  }

  bool has_been_steady(Nanoseconds now) const { return now - unsteady_until_ >= steady_enough_; }

  void read_counters(const Clock& clock) {
    const Nanoseconds begin = clock.now();
    PcieRow row;
    fields_.read(clock, row.when.first, row.when.last);
    for (std::size_t i = 0; i < row.readings.size(); ++i) row.readings[i] = fields_.reading(i);
    was_beyond_ = was_beyond_ || (wraps_ && is_beyond());
    totals_.keep(row);
    last_read_ = row.when.last;
    note_call(begin, clock.now());
    if (!gpm_ || !row.has_values()) return;
    if (trail_.size() == GpmTraffic::most_rows) trail_.erase(trail_.begin());
    trail_.push_back({.when = row.when,
                      .raw = {row.readings[0].integer, row.readings[1].integer},
                      .is_chained = !trail_.empty() && row.when.last - trail_.back().when.first < wrap_time_});
    note_traffic(clock.now());
  }

  void give(Rows& rows) {
    if (!gpm_) return totals_.give_all(nullptr, rows);
    if (must_check_) return;
    const PcieTotals::Outcome outcome = totals_.give(*gpm_, rows);
    if (outcome.unsure_at) {
      is_unsure_ = true;
      be_alert(*outcome.unsure_at + short_alert);
    }
    if (outcome.is_unknown) steady_enough_ = std::min<Nanoseconds>(4 * steady_enough_, std::chrono::minutes(1));
    if (!gpm_->is_silent()) return;
    do_without_gpm();
    totals_.give_all(nullptr, rows);
  }

  bool is_beyond() const { return std::max(fields_.reading(0).integer, fields_.reading(1).integer) >= modulus; }
  void announce(std::int64_t id) {
    std::vector<Counter> counters = {
        gpu_.counter("gpu_pcie_tx_bytes_total", "bytes", CounterKind::cumulative, "sent over PCIe, packet headers too"),
        gpu_.counter("gpu_pcie_rx_bytes_total", "bytes", CounterKind::cumulative,
                     "received over PCIe, packet headers too")};
    for (Counter& counter : counters)
      if (wraps_) {
        counter.modulus = modulus;
        counter.wrap_time = wrap_time_;
      }
    groups_ = {{.id = id, .counters = std::move(counters)}};
  }

  static constexpr Nanoseconds lateness = std::chrono::milliseconds(3), held_up = std::chrono::milliseconds(10),
                               short_alert = std::chrono::milliseconds(500);

  NvmlFields fields_;
  Nanoseconds wrap_time_;
  PcieTotals totals_;
  std::optional<GpmTraffic> gpm_;
  bool is_sparing_ = false, sample_is_due_ = false, next_row_may_wait_ = false;
  bool is_alert_ = false;  // though sparing, for a while
  Nanoseconds alert_until_{0}, last_read_{0};
  // Of the instants at which GPM is renewed.
  bool refreshes_are_lost_ = false, is_checked_while_busy_ = false;
  Nanoseconds checked_{0};
  bool is_unsure_ = false;              // GPM's bounds did not tell what had gone
  bool must_check_ = false;             // before anything is said on their word
  std::vector<GpmTraffic::Row> trail_;  // the newest rows
  Nanoseconds busy_until_{0}, unsteady_until_{0};
  Nanoseconds steady_enough_ = std::chrono::seconds(2);  // longer for loads that seem steadier than they are
  bool wraps_ = true, was_beyond_ = false;
};

}  // namespace

std::unique_ptr<Source> pcie_source(const NvmlGpu& gpu) {
  return std::make_unique<PcieSource>(gpu, link_bytes_per_s(gpu));
}

}  // namespace batchscope
