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

// The counters wrap within a tenth of a second: they are read twice in that time, so that no wrap can hide. Where a
// reading comes later, as while a program starts CUDA and the driver holds calls up, GPM tells how often they wrapped
// meanwhile; rows wait for its word.
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
    if (!wraps_) return Pace::main_curve(asked);
    // Where the budget is short, less is left for a late reading.
    return {.wanted = std::min(asked, wrap_time_ / 2), .longest = wrap_time_ * 3 / 4};
  }
  void prepare(Clock& clock, Nanoseconds) override {
    if (!gpm_) return;
    if (gpm_->find_refreshes(clock))
      found_ = clock.now();
    else
      gpm_.reset();
  }
  Nanoseconds discovery_period() const override { return std::chrono::seconds(1); }
  bool discover(const Clock& clock) override {
    const bool first = NvmlSource::discover(clock);
    if (!wraps_ || !was_beyond_) return first;
    wraps_ = false;
    gpm_.reset();
    totals_.stop_unwrapping();
    announce(2);
    return true;
  }

  void read(std::size_t, Rows& rows) override {
    read_counters(rows.clock());
    if (gpm_) follow_gpm(rows.clock());
    give(rows);
  }
  std::int64_t take_own_readings() override { return std::exchange(own_readings_, 0); }
  void read_last(std::size_t group, Rows& rows) override {
    read(group, rows);
    Clock& clock = rows.clock();
    const Nanoseconds deadline = clock.now() + 3 * GpmTraffic::refresh;
    for (; gpm_ && !totals_.are_all_given() && clock.now() < deadline; give(rows)) {
      clock.sleep_until(clock.now() + GpmTraffic::refresh / 4);
      follow_gpm(clock);
    }
    totals_.give_all(gpm_ ? &*gpm_ : nullptr, rows);
  }

 private:
  void read_counters(const Clock& clock) {
    const Nanoseconds begin = clock.now();
    PcieRow row;
    fields_.read(clock, row.when.first, row.when.last);
    for (std::size_t i = 0; i < row.readings.size(); ++i) row.readings[i] = fields_.reading(i);
    was_beyond_ = was_beyond_ || (wraps_ && is_beyond());
    totals_.keep(row);
    last_read_ = row.when.last;
    if (!gpm_ || !row.has_values()) return;
    const bool is_late = !trail_.empty() && row.when.last - trail_.back().when.first >= wrap_time_;
    const bool is_chained = !trail_.empty() && !is_late;
    if (trail_.size() == GpmTraffic::most_rows) trail_.erase(trail_.begin());
    trail_.push_back(
        {.when = row.when, .raw = {row.readings[0].integer, row.readings[1].integer}, .is_chained = is_chained});
    if (is_busy()) busy_until_ = clock.now();
    // Where a program starts CUDA, calls are held up, and GPM's refreshes may move.
    if (is_late || clock.now() - begin > held_up) lose_refreshes();
  }

  void follow_gpm(Clock& clock) {
    constexpr Nanoseconds idle = std::chrono::seconds(1), drifted = std::chrono::seconds(10);
    if (are_lost_ || clock.now() - found_ > drifted) find_refreshes(clock);
    const Nanoseconds begin = clock.now();
    const bool is_new = gpm_->look(clock);
    if (clock.now() - begin > held_up) lose_refreshes();
    if (clock.now() - busy_until_ > idle)
      gpm_->forget_lag();  // a program may start that changes it
    else if (is_new && !gpm_->learn_lag(trail_))
      lose_refreshes();
  }

  void find_refreshes(Clock& clock) {
    are_lost_ = false;
    const bool are_found = gpm_->find_refreshes(clock, [&] {
      if (clock.now() - last_read_ < wrap_time_ / 2) return;
      read_counters(clock);
      ++own_readings_;
    });
    are_lost_ = are_lost_ || !are_found;
    if (!are_lost_) found_ = clock.now();
  }
  void lose_refreshes() {
    are_lost_ = true;
    gpm_->forget_lag();
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

  void give(Rows& rows) {
    if (gpm_ && gpm_->is_silent()) gpm_.reset();
    gpm_ ? totals_.give(*gpm_, rows) : totals_.give_all(nullptr, rows);
  }

  bool is_beyond() const { return std::max(fields_.reading(0).integer, fields_.reading(1).integer) >= modulus; }
  void announce(std::int64_t id) {
    std::vector<Counter> counters = {gpu_.counter("gpu_pcie_tx_bytes_total", "bytes", CounterKind::cumulative,
                                                  "sent over PCIe, packet headers included"),
                                     gpu_.counter("gpu_pcie_rx_bytes_total", "bytes", CounterKind::cumulative,
                                                  "received over PCIe, packet headers included")};
    for (Counter& counter : counters)
      if (wraps_) {
        counter.modulus = modulus;
        counter.wrap_time = wrap_time_;
      }
    groups_ = {{.id = id, .counters = std::move(counters)}};
  }

  static constexpr Nanoseconds held_up = std::chrono::milliseconds(10);

  NvmlFields fields_;
  Nanoseconds wrap_time_;
  PcieTotals totals_;
  std::optional<GpmTraffic> gpm_;       // absent: there is none, or it does not answer any more
  std::vector<GpmTraffic::Row> trail_;  // the newest rows
  Nanoseconds last_read_{0}, busy_until_{0};
  std::int64_t own_readings_ = 0;  // while refreshes were looked for
  Nanoseconds found_{0};           // when GPM's refreshes were
  bool are_lost_ = false;          // they
  bool wraps_ = true, was_beyond_ = false;
};

}  // namespace

std::unique_ptr<Source> pcie_source(const NvmlGpu& gpu) {
  return std::make_unique<PcieSource>(gpu, link_bytes_per_s(gpu));
}

}  // namespace batchscope
