// Reading scenarios of the fake NVML (scenario.h).
#include "telemetry/nvml/fake/scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/units.h"

namespace batchscope::nvml::fake {
namespace {

using nlohmann::json;

template <class Value>
struct Word {
  std::string_view word;
  Value value;
};

template <class Value, std::size_t size>
std::string all_words(const std::array<Word<Value>, size>& words) {
  std::string all;
  for (const auto& each : words) all += (all.empty() ? "" : " | ") + std::string(each.word);
  return all;
}

constexpr std::array<Word<MigMode>, 3> mig_modes{
    {{"unsupported", MigMode::unsupported}, {"off", MigMode::off}, {"on", MigMode::on}}};
constexpr std::array<Word<NvlinkCounters>, 3> nvlink_counters{
    {{"none", NvlinkCounters::none}, {"total", NvlinkCounters::total}, {"per_link", NvlinkCounters::per_link}}};
constexpr std::array<Word<VirtualizationMode>, 5> virtualization_modes{{{"none", not_virtual},
                                                                        {"pass_through", pass_through},
                                                                        {"vgpu", vgpu},
                                                                        {"host_vgpu", host_vgpu},
                                                                        {"host_vsga", host_vsga}}};
constexpr std::array<Word<ProcessKind>, 3> process_kinds{
    {{"compute", ProcessKind::compute}, {"graphics", ProcessKind::graphics}, {"mps", ProcessKind::mps}}};
constexpr std::array<Word<FaultKind>, 6> fault_kinds{{{"lost", FaultKind::lost},
                                                      {"hang", FaultKind::hang},
                                                      {"answer", FaultKind::answer},
                                                      {"reset", FaultKind::reset},
                                                      {"xid", FaultKind::xid},
                                                      {"ecc", FaultKind::ecc}}};
constexpr std::array<Word<Return>, 16> returns{{{"uninitialized", uninitialized},
                                                {"invalid_argument", invalid_argument},
                                                {"not_supported", not_supported},
                                                {"no_permission", no_permission},
                                                {"not_found", not_found},
                                                {"driver_not_loaded", driver_not_loaded},
                                                {"timeout", timeout},
                                                {"function_not_found", function_not_found},
                                                {"gpu_is_lost", gpu_is_lost},
                                                {"reset_required", reset_required},
                                                {"operating_system", operating_system},
                                                {"version_mismatch", version_mismatch},
                                                {"in_use", in_use},
                                                {"no_data", no_data},
                                                {"not_ready", not_ready},
                                                {"unknown", unknown}}};
constexpr std::array<Word<std::uint64_t>, 9> throttle_reasons{{{"idle", reason_idle},
                                                               {"application_clocks", reason_application_clocks},
                                                               {"power_cap", reason_power_cap},
                                                               {"hw_slowdown", reason_hw_slowdown},
                                                               {"sync_boost", reason_sync_boost},
                                                               {"sw_thermal", reason_sw_thermal},
                                                               {"hw_thermal", reason_hw_thermal},
                                                               {"power_brake", reason_power_brake},
                                                               {"display_clocks", reason_display_clocks}}};
constexpr std::array<Word<std::array<Rate, 2>>, 3> resettable{{{"pcie", {Rate::pcie_tx, Rate::pcie_rx}},
                                                               {"nvlink", {Rate::nvlink_tx, Rate::nvlink_rx}},
                                                               {"energy", {Rate::power, Rate::power}}}};

constexpr std::array functions{
#define BATCHSCOPE_NVML_NAME(name, parameters) std::string_view(#name),
    BATCHSCOPE_NVML_FUNCTIONS(BATCHSCOPE_NVML_NAME)
#undef BATCHSCOPE_NVML_NAME
};

// What one call blocks for, in µs: as measured on an H200 with driver 580, or as others have measured.
constexpr std::array<Word<double>, 17> usual_costs{{{"nvmlDeviceGetMemoryInfo", 5},
                                                    {"nvmlDeviceGetMemoryInfo_v2", 5},
                                                    {"nvmlDeviceGetPcieThroughput", 21'000},
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

void know_keys(const JsonObject& object, std::span<const std::string_view> keys) {
  for (const auto& [key, value] : object.value().items()) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    const std::string near = nearest(key, keys);
    throw InputError("{}: unknown key{}", object.name(key), near.empty() ? "" : fmt::format("; \"{}\"?", near));
  }
}

template <class Value, std::size_t size>
Value word(const JsonObject& object, std::string_view key, const std::array<Word<Value>, size>& words,
           std::optional<Value> fallback = {}) {
  if (fallback && !object.has(key)) return *fallback;
  const std::string expected = all_words(words);
  const json* value = object.find(key);
  if (value != nullptr && value->is_string())
    for (const auto& each : words)
      if (each.word == value->get_ref<const std::string&>()) return each.value;
  object.refuse(key, expected);
}

// A number within [low, high], times `unit`, rounded.
std::int64_t quantity(const JsonObject& object, std::string_view key, double low, double high, double unit,
                      std::optional<double> fallback = {}) {
  const json* value = object.find(key);
  if (value == nullptr && fallback) return std::llround(*fallback * unit);
  if (value == nullptr || !value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high))
    object.refuse(key, fmt::format("a number from {} to {}", low, high));
  return std::llround(value->get<double>() * unit);
}

constexpr double longest_s = 1e8;
Nanoseconds seconds(const JsonObject& object, std::string_view key, double low = 0,
                    std::optional<double> fallback = {}) {
  return Nanoseconds(quantity(object, key, low, longest_s, 1e9, fallback));
}
Nanoseconds milliseconds(const JsonObject& object, std::string_view key, double low, double fallback) {
  return Nanoseconds(quantity(object, key, low, 1e6, 1e6, fallback));
}
std::uint32_t small(const JsonObject& object, std::string_view key, std::int64_t low, std::int64_t high,
                    std::int64_t fallback) {
  return static_cast<std::uint32_t>(object.integer(key, low, high, fallback));
}

// The elements of a list, one by one, as objects.
template <class Take>
void each_object(const JsonObject& object, std::string_view key, std::size_t most, const Take& take) {
  const json* list = object.find(key);
  if (list == nullptr) return;
  if (!list->is_array() || list->size() > most) object.refuse(key, fmt::format("a list of at most {} objects", most));
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string name = object.name(key).substr(object.where().size() + 2);
    take(JsonObject((*list)[i], object.where(), fmt::format("{}[{}].", name, i)));
  }
}

constexpr std::int64_t most_bytes = 1'000'000'000'000'000;  // also a second

std::vector<GpuProcess> parse_processes(const JsonObject& activity, const std::vector<GpuProcess>& fallback) {
  if (!activity.has("processes")) return fallback;
  std::vector<GpuProcess> processes;
  each_object(activity, "processes", 1000, [&](const JsonObject& object) {
    know_keys(object, std::array<std::string_view, 3>{"pid", "bytes", "kind"});
    GpuProcess process{.kind = word<ProcessKind>(object, "kind", process_kinds, ProcessKind::compute)};
    const json* pid = object.find("pid");
    if (pid != nullptr && pid->is_string()) {
      if (*pid != "self") object.refuse("pid", "a number, or \"self\"");
    } else {
      process.pid = small(object, "pid", 1, 0x7fffffff, 0);
      if (*process.pid == 0) object.refuse("pid", "a number, or \"self\"");
    }
    // What a driver that cannot say answers is written as null.
    process.used_bytes =
        object.has("bytes") ? static_cast<std::uint64_t>(object.integer("bytes", 0, most_bytes)) : memory_unknown;
    processes.push_back(process);
  });
  return processes;
}

std::uint64_t parse_reasons(const JsonObject& activity) {
  std::uint64_t reasons = 0;
  for (const std::string& text : activity.texts("throttle")) {
    const auto found = std::find_if(throttle_reasons.begin(), throttle_reasons.end(),
                                    [&](const auto& each) { return each.word == text; });
    if (found == throttle_reasons.end()) activity.refuse("throttle", "a list of " + all_words(throttle_reasons));
    reasons |= found->value;
  }
  return reasons;
}

constexpr std::array<std::string_view, 18> activity_keys{"seconds",
                                                         "pcie_tx_bytes_per_s",
                                                         "pcie_rx_bytes_per_s",
                                                         "nvlink_tx_bytes_per_s",
                                                         "nvlink_rx_bytes_per_s",
                                                         "power_w",
                                                         "gpu_utilization",
                                                         "memory_utilization",
                                                         "sm_activity",
                                                         "tensor_activity",
                                                         "dram_activity",
                                                         "memory_used_bytes",
                                                         "processes",
                                                         "sm_clock_mhz",
                                                         "memory_clock_mhz",
                                                         "temperature_c",
                                                         "memory_temperature_c",
                                                         "throttle"};

// What it does not say is as in `idle`.
Activity parse_activity(const JsonObject& object, const Activity& idle) {
  know_keys(object, activity_keys);
  Activity activity = idle;
  const auto rate = [&](Rate which, std::string_view key, double high, double unit) {
    auto& value = activity.rates[static_cast<std::size_t>(which)];
    if (object.has(key)) value = quantity(object, key, 0, high, unit);
  };
  rate(Rate::pcie_tx, "pcie_tx_bytes_per_s", most_bytes, 1);
  rate(Rate::pcie_rx, "pcie_rx_bytes_per_s", most_bytes, 1);
  rate(Rate::nvlink_tx, "nvlink_tx_bytes_per_s", most_bytes, 1);
  rate(Rate::nvlink_rx, "nvlink_rx_bytes_per_s", most_bytes, 1);
  rate(Rate::power, "power_w", 100'000, 1000);
  rate(Rate::gpu_busy, "gpu_utilization", 1, millionths);
  rate(Rate::memory_busy, "memory_utilization", 1, millionths);
  rate(Rate::sm_busy, "sm_activity", 1, millionths);
  rate(Rate::tensor_busy, "tensor_activity", 1, millionths);
  rate(Rate::dram_busy, "dram_activity", 1, millionths);
  activity.memory_used_bytes = object.integer("memory_used_bytes", 0, most_bytes, idle.memory_used_bytes);
  activity.processes = parse_processes(object, idle.processes);
  activity.sm_clock_mhz = small(object, "sm_clock_mhz", 0, 100'000, idle.sm_clock_mhz);
  activity.memory_clock_mhz = small(object, "memory_clock_mhz", 0, 100'000, idle.memory_clock_mhz);
  activity.temperature_c = small(object, "temperature_c", 0, 1000, idle.temperature_c);
  activity.memory_temperature_c = small(object, "memory_temperature_c", 0, 1000, idle.memory_temperature_c);
  activity.throttle_reasons = object.has("throttle")              ? parse_reasons(object)
                              : activity.rate(Rate::gpu_busy) > 0 ? 0
                                                                  : reason_idle;
  const auto capped = [&](std::uint64_t reasons) {
    return (activity.throttle_reasons & reasons) != 0 ? millionths : 0;
  };
  activity.rates[static_cast<std::size_t>(Rate::power_capped)] = capped(reason_power_cap);
  activity.rates[static_cast<std::size_t>(Rate::thermally_capped)] = capped(reason_sw_thermal | reason_hw_thermal);
  return activity;
}

Load parse_load(const JsonObject& object) {
  Load load{.repeat = object.boolean("repeat", false)};
  load.idle.rates[static_cast<std::size_t>(Rate::power)] = 75'000;
  if (object.has("idle")) load.idle = parse_activity(object.object("idle"), load.idle);
  Nanoseconds total{};
  each_object(object, "load", 10'000, [&](const JsonObject& interval) {
    if (!load.intervals.empty() && load.intervals.back().length == for_ever)
      interval.refuse("seconds", "none to follow an interval without \"seconds\", which lasts for ever");
    const Nanoseconds length = interval.has("seconds") ? seconds(interval, "seconds", 1e-6) : for_ever;
    if (length != for_ever) total += length;
    if (total > Nanoseconds(1'000'000'000'000'000'000)) interval.refuse("seconds", "at most 1e9 seconds in all");
    load.intervals.push_back({length, parse_activity(interval, load.idle)});
  });
  if (load.repeat && (load.intervals.empty() || load.intervals.back().length == for_ever))
    object.refuse("repeat", "a load whose intervals all have \"seconds\"");
  return load;
}

Refresh parse_refresh(const JsonObject& gpu, std::string_view key, double refresh_ms, std::int64_t ring) {
  const json none = json::object();
  const JsonObject object = gpu.has(key) ? gpu.object(key) : JsonObject(none, gpu.where());
  know_keys(object, std::array<std::string_view, 4>{"refresh_ms", "window_ms", "lag_ms", "ring"});
  Refresh refresh{.refresh = milliseconds(object, "refresh_ms", 0.001, refresh_ms)};
  refresh.window = object.has("window_ms") ? milliseconds(object, "window_ms", 0.001, 0) : refresh.refresh;
  refresh.lag = milliseconds(object, "lag_ms", 0, 0);
  refresh.ring = object.integer("ring", 0, 100'000, ring);
  return refresh;
}

constexpr std::array<std::string_view, 29> gpu_keys{"name",
                                                    "uuid",
                                                    "bus_id",
                                                    "pci_device_id",
                                                    "memory_bytes",
                                                    "memory_reserved_bytes",
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
  gpu.mig_mode = word<MigMode>(object, "mig", mig_modes, MigMode::off);
  gpu.mig_instances = small(object, "mig_instances", 0, 7, 0);
  if (gpu.mig_instances > 0 && gpu.mig_mode != MigMode::on) object.refuse("mig_instances", "\"mig\": \"on\" with it");
  gpu.virtualization = word<VirtualizationMode>(object, "virtualization", virtualization_modes, not_virtual);
  gpu.utilization = parse_refresh(object, "utilization", 200, 71);
  gpu.power = parse_refresh(object, "power", 20, 119);
  gpu.energy = parse_refresh(object, "energy", 100, 0);
  gpu.gpm_samples = parse_refresh(object, "gpm_samples", 100, 0);
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

bool is_call(std::string_view text) {
  if (std::find(functions.begin(), functions.end(), text) != functions.end()) return true;
  return !text.empty() && text.size() <= 4 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> parse_calls(const JsonObject& object) {
  std::vector<std::string> calls;
  const json* list = object.find("calls");
  if (list == nullptr) return calls;
  constexpr auto expected = "a list of NVML's functions by name and fields by number";
  if (!list->is_array()) object.refuse("calls", expected);
  for (const json& each : *list) {
    const std::string call = each.is_string() ? each.get<std::string>() : each.is_number_integer() ? each.dump() : "";
    if (!is_call(call)) {
      const std::string near = nearest(call, functions);
      throw InputError("{}: expected {}, found {}{}", object.name("calls"), expected, quote(call),
                       near.empty() ? "" : fmt::format("; {}?", near));
    }
    calls.push_back(call);
  }
  return calls;
}

Fault parse_fault(const JsonObject& object, std::size_t gpus) {
  know_keys(object, std::array<std::string_view, 10>{"kind", "gpu", "from_s", "until_s", "calls", "result", "counters",
                                                     "xid", "corrected", "uncorrected"});
  Fault fault{.kind = word<FaultKind>(object, "kind", fault_kinds)};
  const auto only_for = [&](std::initializer_list<FaultKind> kinds, std::string_view key) {
    if (object.has(key) && std::find(kinds.begin(), kinds.end(), fault.kind) == kinds.end())
      throw InputError("{}: not a key of this kind of fault", object.name(key));
  };
  only_for({FaultKind::lost, FaultKind::hang, FaultKind::answer}, "until_s");
  only_for({FaultKind::hang, FaultKind::answer}, "calls");
  only_for({FaultKind::answer}, "result");
  only_for({FaultKind::reset}, "counters");
  only_for({FaultKind::xid}, "xid");
  only_for({FaultKind::ecc}, "corrected");
  only_for({FaultKind::ecc}, "uncorrected");
  if (object.has("gpu")) fault.gpu = static_cast<int>(object.integer("gpu", 0, static_cast<std::int64_t>(gpus) - 1));
  fault.from = seconds(object, "from_s", 0, 0);
  if (object.has("until_s")) fault.until = seconds(object, "until_s");
  if (fault.until <= fault.from) object.refuse("until_s", "a time after \"from_s\"");
  fault.calls = parse_calls(object);
  if (fault.kind == FaultKind::answer) {
    if (fault.calls.empty()) object.refuse("calls", "the calls that are answered so");
    fault.result = word<Return>(object, "result", returns);
  }
  if (fault.kind == FaultKind::reset) {
    if (!object.has("counters"))
      for (const auto& each : resettable)
        fault.counters.insert(fault.counters.end(), each.value.begin(), each.value.end());
    else
      for (const std::string& text : object.texts("counters")) {
        const auto found =
            std::find_if(resettable.begin(), resettable.end(), [&](const auto& each) { return each.word == text; });
        if (found == resettable.end()) object.refuse("counters", "a list of " + all_words(resettable));
        fault.counters.insert(fault.counters.end(), found->value.begin(), found->value.end());
      }
  }
  if (fault.kind == FaultKind::xid) fault.xid = small(object, "xid", 1, 1000, 0);
  if (fault.kind == FaultKind::xid && fault.xid == 0) object.refuse("xid", "a number from 1 to 1000");
  fault.corrected = static_cast<std::uint64_t>(object.integer("corrected", 0, 1'000'000'000, 0));
  fault.uncorrected = static_cast<std::uint64_t>(object.integer("uncorrected", 0, 1'000'000'000, 0));
  return fault;
}

}  // namespace

bool Fault::concerns(int which, std::string_view call, Nanoseconds time) const {
  return concerns(which, time) && (calls.empty() || std::find(calls.begin(), calls.end(), call) != calls.end());
}

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
  for (const auto& [call, cost_us] : usual_costs)
    scenario.costs[std::string(call)] = Nanoseconds(std::llround(cost_us * 1000));
  if (object.has("costs_us")) {
    const JsonObject costs = object.object("costs_us");
    for (const auto& [call, ignored] : costs.value().items()) {
      if (!is_call(call)) {
        const std::string near = nearest(call, functions);
        throw InputError("{}: neither a function of NVML nor a field's number{}", costs.name(call),
                         near.empty() ? "" : fmt::format("; {}?", near));
      }
      scenario.costs[call] = Nanoseconds(quantity(costs, call, 0, 1e9, 1000));
    }
  }
  scenario.gpus = parse_gpus(object);
  each_object(object, "faults", 1000,
              [&](const JsonObject& fault) { scenario.faults.push_back(parse_fault(fault, scenario.gpus.size())); });
  std::stable_sort(scenario.faults.begin(), scenario.faults.end(),
                   [](const Fault& a, const Fault& b) { return a.from < b.from; });
  return scenario;
}

Load parse_load(std::string_view text, std::string_view origin) {
  const json value = parse_json(text, origin);
  const JsonObject object(value, std::string(origin));
  know_keys(object, std::array<std::string_view, 3>{"load", "repeat", "idle"});
  return parse_load(object);
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
