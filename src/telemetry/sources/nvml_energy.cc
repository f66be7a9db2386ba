// Energy of a GPU (sources/nvml.h).
#include <algorithm>

#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

class EnergySource : public NvmlSource {
 public:
  explicit EnergySource(const NvmlGpu& gpu) : NvmlSource(gpu, "energy") {
    add_group({gpu_.real_counter("gpu_energy_joules_total", "joules", CounterKind::cumulative, "energy used")}, true);
  }

  Pace pace(Nanoseconds asked) const override {
    constexpr Nanoseconds soonest = std::chrono::seconds(1);  // of what happens in between, power's samples tell
    return Pace::relaxed(std::max(asked, soonest));
  }

  void read(std::size_t, Rows& rows) override {
    rows.add_now([&](std::span<Reading> out) {
      std::uint64_t millijoules = 0;
      const nvml::Return result = gpu_->nvmlDeviceGetTotalEnergyConsumption(gpu_.device(), &millijoules);
      out[0] = reading_of(result, static_cast<double>(millijoules) * 1e-3);
    });
  }
};

}  // namespace

std::unique_ptr<Source> energy_source(const NvmlGpu& gpu) { return std::make_unique<EnergySource>(gpu); }

}  // namespace batchscope
