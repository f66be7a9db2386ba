// gpu_load_check: runs each known load on each GPU and prints what it moved beside what NVML's counters say; to prove
// loads and counters on real hardware. usage: gpu_load_check [GPU, an index of NVML]. Exit code 77: there is no GPU.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "telemetry/load/cuda_loads.h"
#include "telemetry/nvml/field_values.h"

namespace batchscope {
namespace {

constexpr std::int64_t MiB = 1 << 20;
constexpr int skipped = 77;

struct NamedField {
  const char* name;
  std::uint32_t field, scope;
};
constexpr NamedField fields[] = {{"pcie tx bytes", nvml::field_pcie_tx_bytes, 0},
                                 {"pcie rx bytes", nvml::field_pcie_rx_bytes, 0},
                                 {"nvlink data tx KiB", nvml::field_nvlink_data_tx_kib, nvml::all_links},
                                 {"nvlink data rx KiB", nvml::field_nvlink_data_rx_kib, nvml::all_links},
                                 {"nvlink raw tx KiB", nvml::field_nvlink_raw_tx_kib, nvml::all_links},
                                 {"nvlink raw rx KiB", nvml::field_nvlink_raw_rx_kib, nvml::all_links},
                                 {"energy mJ", nvml::field_energy_mj, 0}};

// Readings of the fields one by one, so that a refused one spoils no other; and the gauges' highest values meanwhile.
class Counters {
 public:
  Counters(const nvml::Library& library, nvml::Device device) : nvml_(library), device_(device) {}

  std::map<std::string, std::int64_t> read() const {
    std::map<std::string, std::int64_t> values;
    for (const NamedField& named : fields) {
      const nvml::WantedField wanted[] = {{named.field, named.scope}};
      nvml::FieldValues read(wanted);
      if (read.read(nvml_.functions(), device_) != nvml::success) continue;
      if (const nvml::FieldValue& value = read.values()[0]; value.result == nvml::success)
        values[named.name] = nvml::integer_of(value.value, value.type);
    }
    return values;
  }

  void look() {
    std::uint32_t power = 0;
    nvml::Utilization utilization;
    nvml::MemoryV2 memory;
    if (nvml_->nvmlDeviceGetPowerUsage(device_, &power) == nvml::success) power_mw_ = std::max(power_mw_, power);
    if (nvml_->nvmlDeviceGetUtilizationRates(device_, &utilization) == nvml::success)
      utilization_ = std::max(utilization_, utilization.gpu);
    if (nvml_->nvmlDeviceGetMemoryInfo_v2(device_, &memory) == nvml::success) used_ = std::max(used_, memory.used);
  }
  std::string highest() const {
    return fmt::format("highest: {:.1f} W, {} % busy, {} MiB used", power_mw_ / 1e3, utilization_, used_ / MiB);
  }

 private:
  const nvml::Library& nvml_;
  nvml::Device device_;
  std::uint32_t power_mw_ = 0, utilization_ = 0;
  std::uint64_t used_ = 0;
};

bool check_load(const nvml::Library& library, const nvml::Gpu& gpu, LoadRunner& runner, const Load& load) {
  fmt::print("{}: {} x {} x {} bytes, busy {} ms, idle {} ms\n", name_of(load.kind), load.cycles, load.transfers,
             load.bytes, load.busy.count() / 1'000'000, load.idle.count() / 1'000'000);
  if (const auto reason = runner.cannot(load.kind)) {
    fmt::print("  cannot run: {}\n", *reason);
    return true;
  }
  try {
    Counters counters(library, gpu.device);
    runner.prepare(load);
    const auto before = counters.read();
    const Nanoseconds begin = monotonic_clock().now();
    runner.start();
    while (runner.running()) {
      counters.look();
      monotonic_clock().sleep_until(monotonic_clock().now() + std::chrono::milliseconds(2));
    }
    const LoadRun run = runner.finish();
    const auto after = counters.read();
    const double seconds = run.busy_seconds();
    fmt::print(
        "  {} bursts, {} transfers, tx {} B, rx {} B in {:.6f} s: {:.2f} GB/s; shortest burst {:.3f} ms; "
        "begun {:.3f} ms after start\n",
        run.bursts.size(), run.transfers, run.tx_bytes, run.rx_bytes, seconds,
        static_cast<double>(std::max(run.tx_bytes, run.rx_bytes)) / seconds / 1e9,
        1e3 * std::min_element(run.bursts.begin(), run.bursts.end(),
                               [](const Burst& a, const Burst& b) { return a.end - a.begin < b.end - b.begin; })
                  ->seconds(),
        1e3 * to_seconds(run.bursts.front().begin - begin));
    for (const auto& [name, value] : after)
      if (before.contains(name)) fmt::print("  {:<20} {:>16} (raw {})\n", name, value - before.at(name), value);
    fmt::print("  {}\n", counters.highest());
    return true;
  } catch (const Failure& failure) {
    fmt::print("  FAILED: {}\n", failure.what());
    return false;
  }
}

bool check_gpu(const nvml::Library& library, const nvml::Gpu& gpu) {
  using std::chrono::milliseconds;
  fmt::print("== GPU {} {} {}\n", gpu.index, gpu.name, gpu.uuid);
  const auto runner = cuda_loads(gpu.uuid);
  if (const auto reason = runner->cannot(LoadKind::spin)) {
    fmt::print("no load can run: {}\n", *reason);
    return true;
  }
  fmt::print("CUDA shows {} GPUs\n", runner->gpus());
  bool well = true;
  std::vector<Load> loads;
  for (const LoadKind kind : {LoadKind::copy_to_device, LoadKind::copy_to_host, LoadKind::copy_to_peer,
                              LoadKind::copy_from_peer, LoadKind::all_reduce}) {
    loads.push_back({.kind = kind, .bytes = 64 * 1024, .transfers = 1000});
    loads.push_back({.kind = kind, .bytes = 64 * MiB, .transfers = 16});
    loads.push_back({.kind = kind, .bytes = 512 * MiB, .transfers = 4});
  }
  for (const LoadKind kind : {LoadKind::spin, LoadKind::burn}) {
    loads.push_back({.kind = kind, .busy = milliseconds(1000)});
    loads.push_back({.kind = kind, .busy = milliseconds(70), .idle = milliseconds(130), .cycles = 10});
  }
  loads.push_back({.kind = LoadKind::allocation, .bytes = 2048 * MiB, .busy = milliseconds(50)});
  for (const Load& load : loads) well = check_load(library, gpu, *runner, load) && well;
  return well;
}

int check(int count, char** arguments) {
  std::string why;
  const auto library = nvml::library(&why);
  if (!library) {
    fmt::print("skipped: {}\n", why);
    return skipped;
  }
  const auto gpus = library->gpus();
  if (gpus.empty()) {
    fmt::print("skipped: NVML lists no GPU\n");
    return skipped;
  }
  bool well = true;
  for (const nvml::Gpu& gpu : gpus)
    if (count < 2 || gpu.index == std::atoi(arguments[1])) well = check_gpu(*library, gpu) && well;
  return static_cast<int>(well ? ExitCode::ok : ExitCode::failed);
}

}  // namespace
}  // namespace batchscope

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  return batchscope::check(count, arguments);
}
