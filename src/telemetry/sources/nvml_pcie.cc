// Cumulative PCIe bytes (sources/nvml.h).
#include <algorithm>
#include <optional>

#include "telemetry/nvml/gpm.h"
#include "telemetry/sources/nvml.h"

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

using Bytes = std::array<double, 2>;  // sent, received

// The most that can have gone over PCIe in a time in which its counters could not be read, by GPM, which counts without
// a wrap.
class GpmWitness {
 public:
  explicit GpmWitness(const NvmlGpu& gpu) : gpu_(gpu) {
    for (int i = 0; i < looks_kept; ++i) looks_.emplace_back(*gpu.library);
    request_->count = 2;
    request_->metrics[0].id = nvml::gpm_pcie_tx_mib_per_s;
    request_->metrics[1].id = nvml::gpm_pcie_rx_mib_per_s;
  }

  // To be called after each reading: takes a sample when the last is older than a refresh, or `at_once`. `counted`:
  // what is known to have gone until now, but for gaps.
  void look(const Clock& clock, const Bytes& counted, bool at_once) {
    const Nanoseconds now = clock.now();
    if (newest_ != nullptr && now - newest_->when < refresh && !at_once) return;
    Look& oldest = looks_[next_ % looks_.size()];
    oldest.is_there = oldest.sample.take(gpu_.device(), longest_wait) == nvml::success;
    if (!oldest.is_there) return;  // the next reading tries again
    oldest.when = now;
    oldest.counted = counted;
    newest_ = &oldest;
    ++next_;
  }
  // A sample shows what was one to two refreshes ago (measured on H100 and H200).
  bool is_time_to_see(Nanoseconds end, Nanoseconds now) const { return now >= end + 2 * refresh; }
  bool has_seen(Nanoseconds end) const { return newest_ != nullptr && is_time_to_see(end, newest_->when); }

  // What can have gone at most, beyond what is known to have, between a time before `begin` and one behind `end`;
  // `counted` is that as of `end`. Absent: no samples enclose them.
  std::optional<Bytes> most_unknown(Nanoseconds begin, Nanoseconds end, const Bytes& counted) {
    constexpr double most_gain = 1.1, slack = 16 << 20;  // both count alike to a few percent, and not at one instant
    const Look* const before = newest_look(Nanoseconds::min(), begin);
    if (before == nullptr || !has_seen(end)) return std::nullopt;
    if (newest_->sample.metrics_since(before->sample, *request_, longest_wait) != nvml::success) return std::nullopt;
    const Look* const inner = newest_look(end, newest_->when - 2 * refresh);
    const Bytes& known = inner != nullptr ? inner->counted : counted;
    Bytes most{};
    for (std::size_t i = 0; i < most.size(); ++i) {
      const nvml::GpmMetric& rate = request_->metrics[i];
      if (rate.result != nvml::success || !(rate.value >= 0)) return std::nullopt;
      const double bytes = rate.value * (1 << 20) * to_seconds(newest_->when - before->when + refresh);
      most[i] = bytes * most_gain + slack - (known[i] - before->counted[i]);
    }
    return most;
  }

 private:
  static constexpr Nanoseconds refresh = std::chrono::milliseconds(100);
  static constexpr int looks_kept = 20;
  static constexpr Nanoseconds longest_wait = std::chrono::milliseconds(5);  // for other GPUs' calls
  struct Look {
    explicit Look(const nvml::Library& library) : sample(library) {}
    Nanoseconds when{0};
    Bytes counted{};
    bool is_there = false;
    nvml::GpmSnapshot sample;
  };

  const Look* newest_look(Nanoseconds from, Nanoseconds to) const {
    const Look* newest = nullptr;
    for (const Look& look : looks_)
      if (look.is_there && look.when >= from && look.when <= to && (newest == nullptr || look.when > newest->when))
        newest = &look;
    return newest;
  }

  NvmlGpu gpu_;
  std::vector<Look> looks_;
  std::size_t next_ = 0;
  const Look* newest_ = nullptr;
  std::unique_ptr<nvml::GpmMetrics> request_ = std::make_unique<nvml::GpmMetrics>();
};

// While a program starts CUDA or pins memory the driver holds calls up for longer than the counters may take to wrap.
// Rows behind such a gap are kept back until GPM has seen it.
class PcieSource : public NvmlSource {
 public:
  explicit PcieSource(const NvmlGpu& gpu)
      : NvmlSource(gpu, "pcie"),
        fields_(gpu, {{nvml::field_pcie_tx_bytes}, {nvml::field_pcie_rx_bytes}}),
        wrap_time_(from_seconds(static_cast<double>(modulus) / link_bytes_per_s(gpu))) {
    fields_.read();
    wraps_ = !is_beyond();
    if (wraps_ && has_gpm(gpu)) witness_.emplace(gpu);
    kept_.reserve(most_kept);
    announce(1);
  }

  Pace pace(Nanoseconds asked) const override {
    if (!wraps_) return Pace::relaxed(asked);
    // A reading costs half a millisecond of CPU time: where the budget is short, less is left for a late one.
    return {.wanted = std::min(asked, wrap_time_ / 2), .longest = wrap_time_ * 3 / 4};
  }
  Nanoseconds discovery_period() const override { return std::chrono::seconds(1); }
  bool discover(const Clock& clock) override {
    const bool first = NvmlSource::discover(clock);
    if (!wraps_ || !was_beyond_) return first;
    wraps_ = false;
    announce(2);
    return true;
  }

  void read(std::size_t, Rows& rows) override {
    Row row;
    fields_.read(rows.clock(), row.before, row.after);
    for (std::size_t i = 0; i < row.readings.size(); ++i) row.readings[i] = fields_.reading(i);
    was_beyond_ = was_beyond_ || is_beyond();
    if (!witness_ || !wraps_) return add(row, rows);
    count(row);
    if (gaps_)
      kept_.push_back(row);
    else
      add(row, rows);
    witness_->look(rows.clock(), counted_, gaps_ && witness_->is_time_to_see(gaps_->end, row.after));
    if (gaps_) judge(row.after, rows);
  }
  bool keeps_rows_back() const override { return gaps_.has_value(); }

 private:
  struct Row {
    Nanoseconds before{0}, after{0};
    std::array<Reading, 2> readings{};
    bool is_behind_gap = false;
  };
  // Times between two readings, one or some that follow each other shortly.
  struct Gaps {
    Nanoseconds begin{0}, first_end{0}, end{0};
    Bytes unless_wrapped{};  // in all of them
    Bytes counted{};         // as of the end
    bool is_long = false;    // one of them
  };

  // What has gone since the last reading, or that this is not known.
  void count(Row& row) {
    if (row.readings[0].absent != nullptr || row.readings[1].absent != nullptr) return;
    Bytes increase{};
    for (std::size_t i = 0; last_ && i < increase.size(); ++i)
      increase[i] = static_cast<double>((row.readings[i].integer - last_->readings[i].integer + modulus) % modulus);
    row.is_behind_gap = last_ && row.after - last_->before >= wrap_time_;
    Bytes& sum = row.is_behind_gap ? note_gap(row) : counted_;
    for (std::size_t i = 0; i < increase.size(); ++i) sum[i] += increase[i];
    last_ = row;
  }

  Bytes& note_gap(const Row& row) {
    if (!gaps_) gaps_ = {.begin = last_->before, .first_end = row.after};
    gaps_->end = row.after;
    gaps_->counted = counted_;
    gaps_->is_long = gaps_->is_long || row.after - last_->before > longest_gap;
    return gaps_->unless_wrapped;
  }

  void judge(Nanoseconds now, Rows& rows) {
    const bool has_seen = witness_->has_seen(gaps_->end), is_over = gaps_->is_long || kept_.size() == most_kept;
    if (!has_seen && !is_over && now - gaps_->first_end < longest_wait) return;
    std::uint64_t below_modulus = 0;
    const auto most = gaps_->is_long ? std::nullopt : witness_->most_unknown(gaps_->begin, gaps_->end, gaps_->counted);
    for (std::size_t i = 0; most && i < most->size(); ++i)
      if ((*most)[i] < gaps_->unless_wrapped[i] + static_cast<double>(modulus)) below_modulus |= 1ULL << i;
    for (const Row& row : kept_) add(row, rows, row.is_behind_gap ? below_modulus : 0);
    kept_.clear();
    gaps_.reset();
  }

  static void add(const Row& row, Rows& rows, std::uint64_t below_modulus = 0) {
    std::copy(row.readings.begin(), row.readings.end(), rows.row().begin());
    rows.add(row.before, row.after, below_modulus);
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

  static constexpr Nanoseconds longest_gap = std::chrono::seconds(1);          // over longer ones GPM was not tried
  static constexpr Nanoseconds longest_wait = std::chrono::milliseconds(500);  // a kill loses no more than a second
  static constexpr std::size_t most_kept = 512;

  NvmlFields fields_;
  Nanoseconds wrap_time_;
  std::optional<GpmWitness> witness_;
  std::optional<Row> last_;  // that had both values
  Bytes counted_{};
  std::optional<Gaps> gaps_;
  std::vector<Row> kept_;  // since the gap
  bool wraps_ = true, was_beyond_ = false;
};

}  // namespace

std::unique_ptr<Source> pcie_source(const NvmlGpu& gpu) { return std::make_unique<PcieSource>(gpu); }

}  // namespace batchscope
