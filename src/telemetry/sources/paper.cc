// The paper's profiler (sources/paper.h).
#include "telemetry/sources/paper.h"

#include <fmt/format.h>

#include "base/error.h"
#include "telemetry/nvml/sleeping_gpus.h"
#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

constexpr Nanoseconds paper_period{166'666'667};  // 1/6 s

class PaperSource : public Source {
 public:
  explicit PaperSource(std::vector<NvmlGpu> gpus) : gpus_(std::move(gpus)), seen_(gpus_.size()) {
    for (const NvmlGpu& gpu : gpus_) {
      const auto rate = [&](const char* name, const char* help) {
        return gpu.real_counter(name, "bytes per second", CounterKind::window, help);
      };
      const auto seen = [&](const char* name) {
        return gpu.real_counter(name, "bytes", CounterKind::cumulative,
                                "PCIe bytes within the windows that the paper's call observes");
      };
      groups_.push_back(
          {.id = gpu.gpu.index + 1,
           .counters = {
               gpu.real_counter("paper_utilization_ratio", "ratio", CounterKind::window,
                                "nvmlDeviceGetUtilizationRates"),
               gpu.counter("paper_memory_used_bytes", "bytes", CounterKind::gauge, "nvmlDeviceGetMemoryInfo"),
               rate("paper_pcie_tx_bytes_per_second", "nvmlDeviceGetPcieThroughput, sent"),
               rate("paper_pcie_rx_bytes_per_second", "nvmlDeviceGetPcieThroughput, received"),
               seen("paper_pcie_tx_seen_bytes_total"),
               seen("paper_pcie_rx_seen_bytes_total"),
           }});
    }
  }

  std::string name() const override { return "paper"; }
  Pace pace(Nanoseconds) const override { return {.wanted = paper_period, .longest = paper_period, .is_extra = true}; }
  Nanoseconds discovery_period() const override { return std::chrono::hours(1); }
  bool discover(const Clock&) override { return !std::exchange(discovered_, true); }
  const std::vector<CounterGroup>& groups() const override { return groups_; }

  void read(std::size_t group, Rows& rows) override {
    const NvmlGpu& gpu = gpus_[group];
    const std::span<Reading> out = rows.row();
    const Nanoseconds before = rows.clock().now();
    nvml::Utilization use;
    const nvml::Return used = gpu->nvmlDeviceGetUtilizationRates(gpu.device(), &use);
    out[0] = reading_of(used, use.gpu / 100.0);
    nvml::Memory memory;
    const nvml::Return stored = gpu->nvmlDeviceGetMemoryInfo(gpu.device(), &memory);
    out[1] = reading_of(stored, static_cast<std::int64_t>(memory.used));
    read_link(gpu, nvml::pcie_tx, seen_[group].tx, rows.clock(), out[2], out[4]);
    read_link(gpu, nvml::pcie_rx, seen_[group].rx, rows.clock(), out[3], out[5]);
    rows.add(before, rows.clock().now());
  }

 private:
  struct Seen {
    double tx = 0, rx = 0;
  };

  // The call blocks for the window over which it counts: what it saw is its rate times the time it took.
  static void read_link(const NvmlGpu& gpu, nvml::PcieCounter counter, double& seen, const Clock& clock, Reading& rate,
                        Reading& total) {
    constexpr double kb = 1000;
    std::uint32_t kb_per_s = 0;
    const Nanoseconds before = clock.now();
    const nvml::Return result = gpu->nvmlDeviceGetPcieThroughput(gpu.device(), counter, &kb_per_s);
    if (result == nvml::success) seen += kb_per_s * kb * to_seconds(clock.now() - before);
    rate = reading_of(result, kb_per_s * kb);
    total = reading_of(result, seen);
  }

  std::vector<NvmlGpu> gpus_;
  std::vector<Seen> seen_;  // [gpus]
  std::vector<CounterGroup> groups_;
  bool discovered_ = false;
};

}  // namespace

std::unique_ptr<Source> paper_source(PaperFailure& failure, const GpuChoice& choice) {
  std::string why;
  const auto library = nvml::library(&why);
  if (!library) {
    failure = {1, "NVML cannot be initialised: " + why};
    return nullptr;
  }
  std::uint32_t count = 0;
  if (const auto result = library->functions().nvmlDeviceGetCount_v2(&count); result != nvml::success) {
    failure = {2, fmt::format("the GPUs cannot be counted: {}", nvml::reason_of(result))};
    return nullptr;
  }
  std::vector<nvml::Refusal> refused;
  std::vector<NvmlGpu> gpus = nvml_gpus(&refused, choice);
  std::erase_if(refused, [](const nvml::Refusal& refusal) { return nvml::is_asleep(refusal.why); });
  if (!refused.empty()) {
    failure = {3, refused.front().text() + ": it cannot be opened"};
    return nullptr;
  }
  return std::make_unique<PaperSource>(std::move(gpus));
}

}  // namespace batchscope
