// PM sampling as a source (sources/pm_sampling.h).
#include "telemetry/sources/pm_sampling.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "cuda_driver/library.h"

namespace batchscope {
namespace {

constexpr Nanoseconds decode_period = std::chrono::milliseconds(50);

struct Quantity {
  cupti::PmMetric metric;
  const char* name;
  bool is_share;  // percent of the most; otherwise bytes within the sample
  const char* help;
};

const std::vector<Quantity>& quantities() {
  static const std::vector<Quantity> all = {
      {{"active", {"gr__cycles_active.avg.pct_of_peak_sustained_elapsed"}},
       "gpu_pm_active_ratio",
       true,
       "share of time in which any kernel was on the GPU"},
      {{"sm_active", {"sm__cycles_active.avg.pct_of_peak_sustained_elapsed"}},
       "gpu_pm_sm_active_ratio",
       true,
       "share of multiprocessors with a resident warp"},
      {{"tensor_active",
        {"sm__pipe_tensor_cycles_active_realtime.avg.pct_of_peak_sustained_elapsed",
         "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed"}},
       "gpu_pm_tensor_active_ratio",
       true,
       "share of time in which tensor cores were busy"},
      {{"dram_read", {"dram__bytes_read.sum", "dram__read_bytes.sum"}},
       "gpu_pm_dram_read_bytes_per_second",
       false,
       "read from the GPU's memory"},
      {{"dram_write", {"dram__bytes_write.sum", "dram__write_bytes.sum"}},
       "gpu_pm_dram_written_bytes_per_second",
       false,
       "written to the GPU's memory"},
      {{"pcie_rx", {"pcie__read_bytes.sum"}}, "gpu_pm_pcie_rx_bytes_per_second", false, "received over PCIe"},
      {{"pcie_tx", {"pcie__write_bytes.sum"}}, "gpu_pm_pcie_tx_bytes_per_second", false, "sent over PCIe"},
      {{"nvlink_rx", {"nvlrx__bytes.sum"}}, "gpu_pm_nvlink_rx_bytes_per_second", false, "received over all NVLinks"},
      {{"nvlink_tx", {"nvltx__bytes.sum"}}, "gpu_pm_nvlink_tx_bytes_per_second", false, "sent over all NVLinks"},
  };
  return all;
}

std::vector<cupti::PmMetric> metrics() {
  std::vector<cupti::PmMetric> out;
  for (const Quantity& quantity : quantities()) out.push_back(quantity.metric);
  return out;
}

// Those of a period and some more.
std::uint32_t samples_at_a_time(Nanoseconds interval) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(decode_period * 5 / 4 / interval, 16, 4096));
}

class PmSamplingSource : public NvmlSource {
 public:
  PmSamplingSource(const NvmlGpu& gpu, std::shared_ptr<const cupti::Library> library, std::size_t device,
                   Nanoseconds interval)
      : NvmlSource(gpu, "pm"), sampling_(std::move(library), device, metrics(), interval, samples_at_a_time(interval)) {
    std::vector<Counter> counters;
    for (const std::size_t i : sampling_.sampled()) {
      const Quantity& quantity = quantities()[i];
      counters.push_back(gpu_.real_counter(quantity.name, quantity.is_share ? "ratio" : "bytes per second",
                                           CounterKind::window, quantity.help));
      counters.back().refresh = interval;
    }
    counters.push_back(gpu_.counter("gpu_pm_overflows_total", "overflows", CounterKind::cumulative,
                                    "times that the hardware's buffer was full and samples were lost"));
    add_group(std::move(counters));
  }

  // What it costs depends on the interval that was asked for, not on when samples are taken.
  Pace pace(Nanoseconds) const override {
    return {.wanted = decode_period, .longest = decode_period, .is_extra = true};
  }

  void read(std::size_t, Rows& rows) override {
    const Nanoseconds now = rows.clock().now();
    try {
      waiting_.clear();
      const bool overflowed = sampling_.decode([&](const auto& sample) { keep(sample); });
      if (overflowed) ++overflows_;
    } catch (const Failure& failure) {
      if (!std::exchange(has_failed_, true)) spdlog::warn("{}: {}", name(), failure.what());
      const std::span<Reading> out = rows.row();
      std::fill(out.begin(), out.end(), Reading::none("CUPTI no longer delivers samples"));
      rows.add(now, rows.clock().now());
      return;
    }
    if (waiting_.empty()) return;
    clock_.see(waiting_.back().end, now);
    for (const Kept& kept : waiting_) add(rows, kept);
  }

 private:
  struct Kept {
    Nanoseconds begin{0}, end{0};
    std::array<double, 16> values{};
  };

  void keep(const cupti::PmSampling::Sample& sample) {
    Kept& kept = waiting_.emplace_back();
    kept.begin = sample.begin;
    kept.end = sample.end;
    std::copy(sample.values.begin(), sample.values.end(), kept.values.begin());
  }

  void add(Rows& rows, const Kept& kept) {
    const std::span<Reading> out = rows.row();
    const double seconds = to_seconds(kept.end - kept.begin);
    for (std::size_t i = 0; i < sampling_.sampled().size(); ++i)
      out[i] =
          Reading::of(quantities()[sampling_.sampled()[i]].is_share ? kept.values[i] / 100 : kept.values[i] / seconds);
    out.back() = Reading::of(overflows_);
    last_ = std::max(clock_.to_monotonic(kept.end), last_ + Nanoseconds(1));
    rows.add(last_, last_);
  }

  cupti::PmSampling sampling_;
  GpuClock clock_;
  std::vector<Kept> waiting_;
  Nanoseconds last_{0};
  std::int64_t overflows_ = 0;
  bool has_failed_ = false;
};

}  // namespace

void GpuClock::see(Nanoseconds end, Nanoseconds now) {
  distances_[seen_++ % window] = now - end;
  offset_ = *std::min_element(distances_.begin(), distances_.begin() + std::min(seen_, window));
}

std::vector<std::unique_ptr<Source>> pm_sampling_sources(const std::vector<NvmlGpu>& gpus, Nanoseconds interval) {
  if (interval < shortest_pm_interval)
    throw InputError("--pm: {} ns is too short; the shortest interval is 50us", interval.count());
  if (gpus.empty()) throw InputError("--pm: this machine has no NVIDIA GPU that its driver shows");
  try {
    const cuda::Library driver;
    const auto library = std::make_shared<const cupti::Library>();
    std::vector<std::unique_ptr<Source>> sources;
    for (const cuda::Gpu& shown : driver.gpus())
      for (const NvmlGpu& gpu : gpus)
        if (gpu.gpu.uuid == shown.uuid)
          sources.push_back(
              std::make_unique<PmSamplingSource>(gpu, library, static_cast<std::size_t>(shown.device), interval));
    return sources;
  } catch (const Failure& failure) {
    throw Failure("--pm: {}", failure.what());
  }
}

}  // namespace batchscope
