// Cumulative PCIe bytes (sources/nvml.h).
#include <algorithm>

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

class PcieSource : public NvmlSource {
 public:
  explicit PcieSource(const NvmlGpu& gpu)
      : NvmlSource(gpu, "pcie"),
        fields_(gpu, {{nvml::field_pcie_tx_bytes}, {nvml::field_pcie_rx_bytes}}),
        wrap_time_(from_seconds(static_cast<double>(modulus) / link_bytes_per_s(gpu))) {
    fields_.read();
    wraps_ = !is_beyond();
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
    add_fields(fields_, rows, [&](std::span<Reading> out) {
      out[0] = fields_.reading(0);
      out[1] = fields_.reading(1);
      was_beyond_ = was_beyond_ || is_beyond();
    });
  }

 private:
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

  NvmlFields fields_;
  Nanoseconds wrap_time_;
  bool wraps_ = true, was_beyond_ = false;
};

}  // namespace

std::unique_ptr<Source> pcie_source(const NvmlGpu& gpu) { return std::make_unique<PcieSource>(gpu); }

}  // namespace batchscope
