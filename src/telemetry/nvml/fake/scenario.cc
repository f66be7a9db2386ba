// Reading scenarios of the fake NVML (scenario.h).
#include "telemetry/nvml/fake/scenario.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "telemetry/nvml/fake/scenario_json.h"

namespace batchscope::nvml::fake {
namespace {

using nlohmann::json;

constexpr std::array<Word<MigMode>, 3> mig_modes{
    {{"unsupported", MigMode::unsupported}, {"off", MigMode::off}, {"on", MigMode::on}}};
constexpr std::array<Word<NvlinkCounters>, 3> nvlink_counters{
    {{"none", NvlinkCounters::none}, {"total", NvlinkCounters::total}, {"per_link", NvlinkCounters::per_link}}};
constexpr std::array<Word<VirtualizationMode>, 5> virtualization_modes{{{"none", not_virtual},
                                                                        {"pass_through", pass_through},
                                                                        {"vgpu", vgpu},
                                                                        {"host_vgpu", host_vgpu},
                                                                        {"host_vsga", host_vsga}}};

// What one call blocks for, in µs: as measured on an H200 with driver 580, or as others have measured.
constexpr std::array<Word<double>, 16> usual_costs{{{"nvmlDeviceGetMemoryInfo", 5},
                                                    {"nvmlDeviceGetMemoryInfo_v2", 5},
                                                    {"nvmlDeviceGetTotalEnergyConsumption", 2'900},
                                                    {"nvmlDeviceGetGraphicsRunningProcesses_v3", 4'500},
                                                    {"nvmlGpmSampleGet", 41},
                                                    {"nvmlGpmMetricsGet", 25},
                                                    {"83", 2'900},
                                                    {"138", 775},
                                                    {"139", 775},
                                                    {"140", 760},
                                                    {"141", 760},
                                                    {"185", 3'300},
                                                    {"197", 165},
                                                    {"198", 165},
                                                    {"202", 165},
                                                    {"204", 165}}};

Refresh parse_refresh(const JsonObject& gpu, std::string_view key, double refresh_ms, std::int64_t ring,
                      double lag_ms = 0) {
  const json none = json::object();
  const JsonObject object = gpu.has(key) ? gpu.object(key) : JsonObject(none, gpu.where());
  know_keys(object, std::array<std::string_view, 4>{"refresh_ms", "window_ms", "lag_ms", "ring"});
  Refresh refresh{.refresh = milliseconds(object, "refresh_ms", 0.001, refresh_ms)};
  refresh.window = object.has("window_ms") ? milliseconds(object, "window_ms", 0.001, 0) : refresh.refresh;
  refresh.lag = milliseconds(object, "lag_ms", 0, lag_ms);
  refresh.ring = object.integer("ring", 0, 100'000, ring);
  return refresh;
}

constexpr std::array<std::string_view, 32> gpu_keys{"name",
                                                    "uuid",
                                                    "bus_id",
                                                    "pci_device_id",
                                                    "memory_bytes",
                                                    "memory_reserved_bytes",
                                                    "unified_memory",
                                                    "power_limit_w",
                                                    "max_sm_clock_mhz",
                                                    "max_memory_clock_mhz",
                                                    "pcie_generation",
                                                    "pcie_max_generation",
                                                    "pcie_lanes",
                                                    "pcie_modulus_bits",
                                                    "pcie_window_ms",
                                                    "nvlinks",
                                                    "nvlink_speed_mbps",
                                                    "nvlink_counters",
                                                    "nvlink_raw_ratio",
                                                    "gpm",
                                                    "gpm_pcie_ratio",
                                                    "gpm_jumps",
                                                    "mig",
                                                    "mig_instances",
                                                    "virtualization",
                                                    "utilization",
                                                    "power",
                                                    "energy",
                                                    "gpm_samples",
                                                    "load",
                                                    "repeat",
                                                    "idle"};

// A name that goes through NVML's buffers.
std::string short_text(const JsonObject& object, std::string_view key, std::size_t most, const std::string& fallback) {
  const std::string text = object.text(key, fallback);
  if (text.empty() || text.size() > most || text.find('\0') != std::string::npos)
    object.refuse(key, fmt::format("a text of 1 to {} characters", most));
  return text;
}

GpuSpec parse_gpu(const JsonObject& object, int index) {
  know_keys(object, gpu_keys);
  GpuSpec gpu;
  gpu.name = short_text(object, "name", name_size - 1, "NVIDIA H200");
  gpu.uuid = short_text(object, "uuid", uuid_size - 1, fmt::format("GPU-fa4e0000-0000-4000-8000-{:012x}", index));
  gpu.bus_id = object.text("bus_id", fmt::format("00000000:{:02X}:00.0", 0x1b + 16 * (index % 8) + index / 8));
  unsigned domain = 0, bus = 0, device = 0, function = 0;
  if (gpu.bus_id.size() != 16 ||
      std::sscanf(gpu.bus_id.c_str(), "%8x:%2x:%2x.%1x", &domain, &bus, &device, &function) != 4)
    object.refuse("bus_id", "a PCI bus id like \"00000000:1B:00.0\"");
  gpu.pci_device_id = small(object, "pci_device_id", 0, 0xFFFFFFFF, 0x233510DE);
  gpu.memory_bytes = object.integer("memory_bytes", 1, most_bytes, 150'754'820'096);
  gpu.reserved_bytes = object.integer("memory_reserved_bytes", 0, gpu.memory_bytes,
                                      std::min<std::int64_t>(655'360'000, gpu.memory_bytes));
  gpu.unified_memory = object.boolean("unified_memory", false);
  gpu.power_limit_mw = static_cast<std::uint32_t>(quantity(object, "power_limit_w", 0, 100'000, 1000, 700));
  gpu.max_sm_clock_mhz = small(object, "max_sm_clock_mhz", 0, 100'000, 1980);
  gpu.max_memory_clock_mhz = small(object, "max_memory_clock_mhz", 0, 100'000, 3201);
  gpu.pcie_generation = small(object, "pcie_generation", 1, 9, 5);
  gpu.max_pcie_generation = small(object, "pcie_max_generation", 1, 9, std::max(5U, gpu.pcie_generation));
  gpu.pcie_lanes = small(object, "pcie_lanes", 1, 32, 16);
  gpu.pcie_modulus_bits = object.integer("pcie_modulus_bits", 1, 64, 32);
  gpu.pcie_window = milliseconds(object, "pcie_window_ms", 0.001, 20);
  gpu.nvlinks = small(object, "nvlinks", 0, 36, 18);
  gpu.nvlink_speed_mbps = small(object, "nvlink_speed_mbps", 0, 1'000'000, 26'562);
  gpu.nvlink_counters = word<NvlinkCounters>(object, "nvlink_counters", nvlink_counters, NvlinkCounters::total);
  gpu.nvlink_raw_millionths = quantity(object, "nvlink_raw_ratio", 1, 10, millionths, 1.2);
  gpu.gpm = object.boolean("gpm", true);
  gpu.gpm_pcie_ratio = static_cast<double>(quantity(object, "gpm_pcie_ratio", 0, 2, millionths, 1)) / millionths;
  each_object(object, "gpm_jumps", 1000, [&](const JsonObject& jump) {
    know_keys(jump, std::array<std::string_view, 2>{"at_s", "by_ms"});
    gpu.gpm_jumps.push_back({.at = seconds(jump, "at_s", 0, 0), .by = milliseconds(jump, "by_ms", 0, 0)});
  });
  std::stable_sort(gpu.gpm_jumps.begin(), gpu.gpm_jumps.end(),
                   [](const RefreshJump& a, const RefreshJump& b) { return a.at < b.at; });
  gpu.mig_mode = word<MigMode>(object, "mig", mig_modes, MigMode::off);
  gpu.mig_instances = small(object, "mig_instances", 0, 7, 0);
  if (gpu.mig_instances > 0 && gpu.mig_mode != MigMode::on) object.refuse("mig_instances", "\"mig\": \"on\" with it");
  gpu.virtualization = word<VirtualizationMode>(object, "virtualization", virtualization_modes, not_virtual);
  gpu.utilization = parse_refresh(object, "utilization", 200, 71);
  gpu.power = parse_refresh(object, "power", 20, 119);
  gpu.energy = parse_refresh(object, "energy", 100, 0);
  gpu.gpm_samples = parse_refresh(object, "gpm_samples", 100, 0, 13);
  gpu.load = parse_load(object);
  return gpu;
}

constexpr std::size_t most_gpus = 16;

std::vector<GpuSpec> parse_gpus(const JsonObject& scenario) {
  json every = json::object();
  if (scenario.has("every_gpu")) every = scenario.object("every_gpu").value();
  std::vector<GpuSpec> gpus;
  const json* list = scenario.find("gpus");
  if (list != nullptr && list->is_array()) {
    if (list->empty()) scenario.refuse("gpus", "a number from 1 to 16, or a list of as many objects");
    each_object(scenario, "gpus", most_gpus, [&](const JsonObject& own) {
      json merged = every;
      merged.merge_patch(own.value());
      const auto index = static_cast<int>(gpus.size());
      gpus.push_back(parse_gpu(JsonObject(merged, scenario.where(), fmt::format("gpus[{}].", index)), index));
    });
  } else {
    const std::int64_t count = scenario.integer("gpus", 1, most_gpus, 2);
    for (int i = 0; i < count; ++i) gpus.push_back(parse_gpu(JsonObject(every, scenario.where(), "every_gpu."), i));
  }
  for (std::size_t i = 0; i < gpus.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (gpus[i].uuid == gpus[j].uuid)
        throw InputError("{}: gpus[{}] and gpus[{}] have the same uuid", scenario.where(), j, i);
  return gpus;
}

}  // namespace

Nanoseconds Scenario::cost(std::string_view call) const {
  const auto found = costs.find(call);
  return found != costs.end() ? found->second : Nanoseconds(0);
}

Scenario parse_scenario(std::string_view text, std::string_view origin) {
  const json value = parse_json(text, origin);
  const JsonObject object(value, std::string(origin));
  know_keys(object, std::array<std::string_view, 9>{"driver", "nvml", "cuda", "start_s", "burn_cpu", "costs_us",
                                                    "every_gpu", "gpus", "faults"});
  Scenario scenario;
  scenario.driver_version = short_text(object, "driver", version_size - 1, "580.159.04");
  scenario.nvml_version = short_text(object, "nvml", version_size - 1, "13.580.159.04");
  scenario.cuda_version = object.integer("cuda", 0, 1'000'000, 13'000);
  scenario.start = seconds(object, "start_s", 0, 0);
  scenario.burn_cpu = object.boolean("burn_cpu", false);
  scenario.gpus = parse_gpus(object);
  Nanoseconds longest_window{};
  for (const GpuSpec& gpu : scenario.gpus) longest_window = std::max(longest_window, gpu.pcie_window);
  scenario.costs["nvmlDeviceGetPcieThroughput"] = longest_window + std::chrono::milliseconds(1);
  for (const auto& [call, cost_us] : usual_costs)
    scenario.costs[std::string(call)] = Nanoseconds(std::llround(cost_us * 1000));
  if (object.has("costs_us")) {
    const JsonObject costs = object.object("costs_us");
    for (const auto& [call, ignored] : costs.value().items()) {
      check_call(call, costs.name(call));
      scenario.costs[call] = Nanoseconds(quantity(costs, call, 0, 1e9, 1000));
    }
  }
  each_object(object, "faults", 1000,
              [&](const JsonObject& fault) { scenario.faults.push_back(parse_fault(fault, scenario.gpus.size())); });
  std::stable_sort(scenario.faults.begin(), scenario.faults.end(),
                   [](const Fault& a, const Fault& b) { return a.from < b.from; });
  return scenario;
}

Scenario default_scenario() {
  // A batch of inference every 4 s: weights are read, the two GPUs talk over NVLink, results go over PCIe.
  return parse_scenario(R"({
    "start_s": 100,
    "gpus": 2,
    "every_gpu": {
      "repeat": true,
      "idle": {"power_w": 118, "memory_used_bytes": 70000000000, "sm_clock_mhz": 1980},
      "load": [
        {"seconds": 0.5, "pcie_rx_bytes_per_s": 24e9, "pcie_tx_bytes_per_s": 1e9, "gpu_utilization": 0.1,
         "power_w": 160},
        {"seconds": 2.5, "pcie_rx_bytes_per_s": 2e8, "pcie_tx_bytes_per_s": 3e8, "nvlink_tx_bytes_per_s": 6e10,
         "nvlink_rx_bytes_per_s": 6e10, "gpu_utilization": 0.93, "memory_utilization": 0.55, "sm_activity": 0.8,
         "tensor_activity": 0.45, "dram_activity": 0.5, "power_w": 560, "temperature_c": 52,
         "memory_temperature_c": 60, "memory_used_bytes": 96000000000},
        {"seconds": 1.0}
      ]
    }
  })",
                        "the default scenario");
}

}  // namespace batchscope::nvml::fake
