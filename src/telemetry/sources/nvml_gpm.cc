// GPM's metrics (sources/nvml.h).
#include <span>
#include <utility>

#include "telemetry/nvml/gpm.h"
#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

// GPM refreshes its samples every 100 ms: a pair closer than that gives stale or wild values.
constexpr Nanoseconds shortest_pair = std::chrono::milliseconds(100);
constexpr Nanoseconds activity_period =
    std::chrono::milliseconds(105);  // so that a late first sample makes no pair too short
constexpr Nanoseconds engine_period = std::chrono::seconds(1);

struct Metric {
  nvml::GpmMetricId id;
  const char* name;
  const char* unit;
  double scale;  // from GPM's unit
  const char* help;
};
constexpr double percent = 0.01, mib = 1048576;
// NVML asks the GPU anew for this one: it costs 2 ms, all others together 0.03 (H200, driver 580).
constexpr Metric engine_metrics[] = {
    {nvml::gpm_graphics_util, "gpu_engine_active_ratio", "ratio", percent,
     "share of time in which any engine was busy"},
};
// The first are those that a part of a GPU (MIG) has, too; the last are of NVLink.
constexpr std::size_t instance_metrics = 6, nvlink_metrics = 2;
constexpr Metric activity_metrics[] = {
    {nvml::gpm_sm_util, "gpu_sm_active_ratio", "ratio", percent, "share of multiprocessors with a resident warp"},
    {nvml::gpm_sm_occupancy, "gpu_sm_occupancy_ratio", "ratio", percent, "resident warps, of the most that fit"},
    {nvml::gpm_tensor_util, "gpu_tensor_active_ratio", "ratio", percent,
     "share of time in which tensor cores were busy"},
    {nvml::gpm_fp32_util, "gpu_fp32_active_ratio", "ratio", percent, "share of time in which FP32 pipes were busy"},
    {nvml::gpm_fp16_util, "gpu_fp16_active_ratio", "ratio", percent, "share of time in which FP16 pipes were busy"},
    {nvml::gpm_dram_util, "gpu_dram_active_ratio", "ratio", percent, "memory bandwidth in use, of the maximum"},
    {nvml::gpm_pcie_tx_mib_per_s, "gpu_pcie_tx_bytes_per_second", "bytes per second", mib, "sent over PCIe"},
    {nvml::gpm_pcie_rx_mib_per_s, "gpu_pcie_rx_bytes_per_second", "bytes per second", mib, "received over PCIe"},
    {nvml::gpm_nvlink_tx_mib_per_s, "gpu_nvlink_tx_bytes_per_second", "bytes per second", mib, "sent over all NVLinks"},
    {nvml::gpm_nvlink_rx_mib_per_s, "gpu_nvlink_rx_bytes_per_second", "bytes per second", mib,
     "received over all NVLinks"},
};

class GpmSource : public NvmlSource {
 public:
  GpmSource(const NvmlGpu& gpu, std::string kind, std::span<const Metric> metrics, const Pace& pace)
      : NvmlSource(gpu, std::move(kind)),
        metrics_(metrics),
        pace_(pace),
        previous_(*gpu.library),
        current_(*gpu.library) {
    std::vector<Counter> counters;
    for (const Metric& metric : metrics_) {
      counters.push_back(gpu_.real_counter(metric.name, metric.unit, CounterKind::window, metric.help));
      counters.back().refresh = shortest_pair;
      request_->metrics[request_->count++].id = metric.id;
    }
    add_group(std::move(counters));
  }

  Pace pace(Nanoseconds) const override { return pace_; }

  void read(std::size_t, Rows& rows) override {
    const Nanoseconds before = rows.clock().now();
    if (has_previous_ && before - previous_when_ < shortest_pair) return;
    const nvml::Return taken = current_.take(gpu_.gpu);
    const Nanoseconds after = rows.clock().now();
    if (taken != nvml::success) {
      has_previous_ = false;
      add(rows, before, after, taken);
      return;
    }
    if (has_previous_) add(rows, before, after, current_.metrics_since(previous_, *request_));
    std::swap(previous_, current_);
    previous_when_ = before;
    has_previous_ = true;
  }

 private:
  void add(Rows& rows, Nanoseconds before, Nanoseconds after, nvml::Return result) {
    const std::span<Reading> out = rows.row();
    for (std::size_t i = 0; i < out.size(); ++i) {
      const nvml::GpmMetric& metric = request_->metrics[i];
      out[i] = reading_of(result != nvml::success ? result : metric.result, metric.value * metrics_[i].scale);
    }
    rows.add(before, after);
  }

  std::span<const Metric> metrics_;
  Pace pace_;
  std::unique_ptr<nvml::GpmMetrics> request_ = std::make_unique<nvml::GpmMetrics>();
  nvml::GpmSnapshot previous_, current_;
  Nanoseconds previous_when_{0};
  bool has_previous_ = false;
};

}  // namespace

bool has_gpm(const NvmlGpu& gpu) {
  nvml::GpmSupport support;
  return gpu->nvmlGpmQueryDeviceSupport(gpu.device(), &support) == nvml::success && support.is_supported != 0;
}

std::unique_ptr<Source> gpm_source(const NvmlGpu& gpu) {
  std::span<const Metric> metrics = activity_metrics;
  if (gpu.gpu.instance)
    metrics = metrics.first(instance_metrics);
  else if (!has_nvlink(gpu))
    metrics = metrics.first(metrics.size() - nvlink_metrics);
  return std::make_unique<GpmSource>(gpu, "gpm", metrics, Pace::main_curve(activity_period));
}
std::unique_ptr<Source> gpm_engine_source(const NvmlGpu& gpu) {
  return std::make_unique<GpmSource>(gpu, "gpm-engine", engine_metrics, Pace::relaxed(engine_period));
}

}  // namespace batchscope
