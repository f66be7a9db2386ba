// Fuzz target: scenarios of the fake NVML take any bytes, and what they accept plays without going back.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "telemetry/nvml/fake/machine.h"

using namespace batchscope;
using namespace batchscope::nvml::fake;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace std::chrono_literals;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Machine machine(parse_scenario(text, "fuzz"));
    for (const Gpu& gpu : machine.gpus()) {
      std::uint64_t energy_mj = 0;
      for (const Nanoseconds time : {Nanoseconds(1), Nanoseconds(1ms), Nanoseconds(300ms), Nanoseconds(5s)}) {
        if (gpu.utilization(time).gpu > 100) std::abort();
        const std::uint64_t now_mj = gpu.energy_mj(time);
        bool reset = false;
        for (const Fault& fault : machine.scenario().faults) reset = reset || fault.kind == FaultKind::reset;
        if (!reset && now_mj < energy_mj) std::abort();
        energy_mj = now_mj;
        gpu.pcie_kb_per_s(Direction::rx, time);
        gpu.gpm_metric(nvml::gpm_sm_util, Nanoseconds(0), time);
      }
      gpu.ring(nvml::samples_power, 5s);
    }
  } catch (const InputError&) {
  }
  return 0;
}
