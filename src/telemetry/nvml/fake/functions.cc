// NVML's functions, answered by the server's machine.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/nvml/fake/fields.h"
#include "telemetry/nvml/fake/server.h"

#pragma GCC visibility push(default)  // nothing else leaves the library
extern "C" {
namespace batchscope::nvml {
#define BATCHSCOPE_NVML_DECLARE(name, parameters) Return name parameters;
BATCHSCOPE_NVML_FUNCTIONS(BATCHSCOPE_NVML_DECLARE)
#undef BATCHSCOPE_NVML_DECLARE
}  // namespace batchscope::nvml
}
#pragma GCC visibility pop

namespace batchscope::nvml {
namespace {

using fake::Direction;
using fake::Gpu;
using fake::Machine;
using fake::Rate;
using fake::Server;
using GpmCall = Server::GpmCall;

constexpr std::uint32_t no_instance = 0xFFFFFFFF;

Server& server() { return Server::instance(); }

// Handles last as long as the library, whatever the scenario.
constexpr int most_gpus = 16, most_instances = 7;
Device handle_of(int gpu, int instance) {
  static std::array<DeviceHandle, most_gpus*(most_instances + 1)> handles = [] {
    std::array<DeviceHandle, most_gpus*(most_instances + 1)> all{};
    for (int i = 0; i < static_cast<int>(all.size()); ++i)
      all[static_cast<std::size_t>(i)] = {i / (most_instances + 1), i % (most_instances + 1) - 1};
    return all;
  }();
  return &handles[static_cast<std::size_t>(gpu * (most_instances + 1) + instance + 1)];
}

bool is_nvlink_sum(const FieldValue& field) {
  return field.scope == all_links && field.field >= field_nvlink_data_tx_kib && field.field <= field_nvlink_raw_rx_kib;
}

// Calls that concern no GPU. `answer`: Return(const Machine&, Nanoseconds now).
template <class Answer>
Return on_machine(const char* function, const Answer& answer) {
  return server().call(function, -1, answer);
}

// As the driver does with a GPU that the kernel has suspended, whatever is asked of it.
void wake(Device device) {
  const char* folder = std::getenv("BATCHSCOPE_PCI_DEVICES");
  if (folder == nullptr) return;
  std::string name;
  server().call("", -1, [&](const Machine& machine, Nanoseconds) {
    const auto index = static_cast<std::size_t>(device->gpu);
    if (index < machine.gpus().size()) name = machine.gpus()[index].spec().bus_id.substr(4);  // a domain of four digits
    return success;
  });
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  const std::string path = fmt::format("{}/{}/power/runtime_status", folder, name);
  std::string status;
  if (!(std::ifstream(path) >> status) || status != "suspended") return;
  std::ofstream(path) << "active\n";
}

// Calls that a GPU and a part of it (MIG) answer. `answer`: Return(const Gpu&, Nanoseconds now).
template <class Answer>
Return on_gpu_or_part(std::string_view call, Device device, const Answer& answer) {
  if (device == nullptr) return invalid_argument;
  wake(device);
  return server().call(call, device->gpu, [&](const Machine& machine, Nanoseconds now) {
    return answer(machine.gpus()[static_cast<std::size_t>(device->gpu)], now);
  });
}

// Calls that only a whole GPU answers.
template <class Answer>
Return on_gpu(std::string_view call, Device device, const Answer& answer) {
  if (device != nullptr && device->mig_instance >= 0) return not_supported;
  return on_gpu_or_part(call, device, answer);
}

Return give_text(const std::string& text, char* out, std::uint32_t size) {
  if (text.size() >= size) return insufficient_size;
  std::memcpy(out, text.c_str(), text.size() + 1);
  return success;
}

template <class Value>
Return give(Value value, Value* out) {
  *out = value;
  return success;
}

Return give_known(const std::optional<std::uint32_t>& value, std::uint32_t* out) {
  return value ? give(*value, out) : not_supported;
}

// "1g.18gb": compute slices and memory of an instance of a GPU that is cut into equal parts.
std::string profile_of(const Gpu& gpu) {
  constexpr std::int64_t gib = 1 << 30;
  const std::int64_t parts = gpu.spec().mig_instances;
  return fmt::format("{}g.{}gb", most_instances / parts, gpu.spec().memory_bytes / parts / gib);
}

// Memory of a GPU, or of its part: an equal share.
MemoryV2 memory_of(const Gpu& gpu, Device device, Nanoseconds now) {
  const std::int64_t parts = device->mig_instance < 0 ? 1 : gpu.spec().mig_instances;
  const std::int64_t total = gpu.spec().memory_bytes / parts, reserved = gpu.spec().reserved_bytes / parts;
  const std::int64_t used = std::min(gpu.at(now).memory_used_bytes / parts, total - reserved);
  MemoryV2 memory;
  memory.total = static_cast<std::uint64_t>(total);
  memory.reserved = static_cast<std::uint64_t>(reserved);
  memory.used = static_cast<std::uint64_t>(used);
  memory.free = static_cast<std::uint64_t>(total - reserved - used);
  return memory;
}

// Processes of a kind; those of a GPU with parts are spread over them in turn.
Return give_processes(const char* function, fake::ProcessKind kind, Device device, std::uint32_t* count,
                      Process* processes) {
  return on_gpu_or_part(function, device, [&](const Gpu& gpu, Nanoseconds now) -> Return {
    const std::uint32_t parts = gpu.spec().mig_instances;
    std::uint32_t found = 0, part = 0;
    for (const fake::GpuProcess& each : gpu.at(now).processes) {
      const std::uint32_t instance = parts == 0 ? no_instance : part++ % parts;
      if (each.kind != kind) continue;
      if (device->mig_instance >= 0 && static_cast<std::uint32_t>(device->mig_instance) != instance) continue;
      if (found < *count && processes != nullptr)
        processes[found] = {each.pid.value_or(static_cast<std::uint32_t>(getpid())), each.used_bytes, instance,
                            parts == 0 ? no_instance : 0};
      ++found;
    }
    const bool enough = found <= *count && (processes != nullptr || found == 0);
    *count = found;
    return enough ? success : insufficient_size;
  });
}

Return give_throttle_reasons(const char* function, Device device, std::uint64_t* reasons) {
  return on_gpu(function, device,
                [&](const Gpu& gpu, Nanoseconds now) { return give(gpu.at(now).throttle_reasons, reasons); });
}

}  // namespace

Return nvmlInit_v2() { return server().init(); }
Return nvmlShutdown() { return server().shutdown(); }

Return nvmlSystemGetDriverVersion(char* version, std::uint32_t size) {
  return on_machine(__func__, [&](const Machine& machine, Nanoseconds) {
    return give_text(machine.scenario().driver_version, version, size);
  });
}

Return nvmlSystemGetNVMLVersion(char* version, std::uint32_t size) {
  return on_machine(__func__, [&](const Machine& machine, Nanoseconds) {
    return give_text(machine.scenario().nvml_version, version, size);
  });
}

Return nvmlSystemGetCudaDriverVersion_v2(int* version) {
  return on_machine(__func__, [&](const Machine& machine, Nanoseconds) {
    return give(static_cast<int>(machine.scenario().cuda_version), version);
  });
}

Return nvmlDeviceGetCount_v2(std::uint32_t* count) {
  return on_machine(__func__, [&](const Machine& machine, Nanoseconds) {
    return give(static_cast<std::uint32_t>(machine.gpus().size()), count);
  });
}

Return nvmlDeviceGetHandleByIndex_v2(std::uint32_t index, Device* device) {
  if (index >= most_gpus) return invalid_argument;
  return on_gpu(__func__, handle_of(static_cast<int>(index), -1),
                [&](const Gpu& gpu, Nanoseconds) { return give(handle_of(gpu.index(), -1), device); });
}

Return nvmlDeviceGetUUID(Device device, char* uuid, std::uint32_t size) {
  return on_gpu_or_part(__func__, device, [&](const Gpu& gpu, Nanoseconds) {
    if (device->mig_instance < 0) return give_text(gpu.spec().uuid, uuid, size);
    const std::string_view whole = gpu.spec().uuid;
    return give_text(
        fmt::format("MIG-{}/{}", whole.starts_with("GPU-") ? whole.substr(4) : whole, device->mig_instance), uuid,
        size);
  });
}

Return nvmlDeviceGetName(Device device, char* name, std::uint32_t size) {
  return on_gpu_or_part(__func__, device, [&](const Gpu& gpu, Nanoseconds) {
    return give_text(
        device->mig_instance < 0 ? gpu.spec().name : fmt::format("{} MIG {}", gpu.spec().name, profile_of(gpu)), name,
        size);
  });
}

Return nvmlDeviceGetPciInfo_v3(Device device, Pci* pci) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds) {
    *pci = {};
    const std::string& bus_id = gpu.spec().bus_id;
    std::sscanf(bus_id.c_str(), "%8x:%2x:%2x", &pci->domain, &pci->bus, &pci->device);
    pci->device_id = gpu.spec().pci_device_id;
    std::memcpy(pci->bus_id, bus_id.c_str(), bus_id.size() + 1);
    std::memcpy(pci->bus_id_legacy, bus_id.c_str() + 4,
                bus_id.size() - 4 + 1);  // a domain of four digits
    return success;
  });
}

Return nvmlDeviceGetMemoryInfo(Device device, Memory* memory) {
  return on_gpu_or_part(__func__, device, [&](const Gpu& gpu, Nanoseconds now) -> Return {
    if (gpu.spec().unified_memory) return not_supported;
    const MemoryV2 parts = memory_of(gpu, device, now);
    *memory = {parts.total, parts.free, parts.reserved + parts.used};
    return success;
  });
}

Return nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2* memory) {
  if (memory->version != MemoryV2{}.version) return argument_version_mismatch;
  return on_gpu_or_part(__func__, device, [&](const Gpu& gpu, Nanoseconds now) {
    return gpu.spec().unified_memory ? not_supported : give(memory_of(gpu, device, now), memory);
  });
}

Return nvmlDeviceGetUtilizationRates(Device device, Utilization* utilization) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds now) {
    return gpu.spec().mig_mode == fake::MigMode::on ? not_supported : give(gpu.utilization(now), utilization);
  });
}

Return nvmlDeviceGetPowerUsage(Device device, std::uint32_t* milliwatts) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds now) { return give(gpu.power_mw(now), milliwatts); });
}

Return nvmlDeviceGetEnforcedPowerLimit(Device device, std::uint32_t* milliwatts) {
  return on_gpu(__func__, device,
                [&](const Gpu& gpu, Nanoseconds) { return give(gpu.spec().power_limit_mw, milliwatts); });
}

Return nvmlDeviceGetTotalEnergyConsumption(Device device, std::uint64_t* millijoules) {
  return on_gpu(__func__, device,
                [&](const Gpu& gpu, Nanoseconds now) { return give(gpu.energy_mj(now), millijoules); });
}

Return nvmlDeviceGetTemperature(Device device, int sensor, std::uint32_t* celsius) {
  if (sensor != 0) return invalid_argument;
  return on_gpu(__func__, device,
                [&](const Gpu& gpu, Nanoseconds now) { return give(gpu.at(now).temperature_c, celsius); });
}

Return nvmlDeviceGetClockInfo(Device device, ClockType type, std::uint32_t* mhz) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds now) {
    return give(type == clock_memory ? gpu.at(now).memory_clock_mhz : gpu.at(now).sm_clock_mhz, mhz);
  });
}

Return nvmlDeviceGetMaxClockInfo(Device device, ClockType type, std::uint32_t* mhz) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds) {
    return give(type == clock_memory ? gpu.spec().max_memory_clock_mhz : gpu.spec().max_sm_clock_mhz, mhz);
  });
}

Return nvmlDeviceGetCurrentClocksEventReasons(Device device, std::uint64_t* reasons) {
  return give_throttle_reasons(__func__, device, reasons);
}
Return nvmlDeviceGetCurrentClocksThrottleReasons(Device device, std::uint64_t* reasons) {
  return give_throttle_reasons(__func__, device, reasons);
}

Return nvmlDeviceGetPcieThroughput(Device device, PcieCounter counter, std::uint32_t* kb_per_s) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds now) {
    return give(gpu.pcie_kb_per_s(counter == pcie_tx ? Direction::tx : Direction::rx, now), kb_per_s);
  });
}

Return nvmlDeviceGetCurrPcieLinkGeneration(Device device, std::uint32_t* generation) {
  return on_gpu(__func__, device,
                [&](const Gpu& gpu, Nanoseconds) { return give(gpu.spec().pcie_generation, generation); });
}

Return nvmlDeviceGetCurrPcieLinkWidth(Device device, std::uint32_t* lanes) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds) { return give(gpu.spec().pcie_lanes, lanes); });
}

Return nvmlDeviceGetMaxPcieLinkWidth(Device device, std::uint32_t* lanes) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds) { return give(gpu.spec().pcie_lanes, lanes); });
}

Return nvmlDeviceGetMaxPcieLinkGeneration(Device device, std::uint32_t* generation) {
  return on_gpu(__func__, device,
                [&](const Gpu& gpu, Nanoseconds) { return give(gpu.spec().max_pcie_generation, generation); });
}

// Fields are read one after the other; each has its own cost, fault and time.
Return nvmlDeviceGetFieldValues(Device device, int count, FieldValue* values) {
  const Return called = on_gpu(__func__, device, [](const Gpu&, Nanoseconds) { return success; });
  if (called != success) return called;
  for (FieldValue* field = values; field < values + count; ++field) {
    std::array<char, 16> number{};
    *fmt::format_to_n(number.data(), number.size() - 1, "{}", field->field).out = '\0';
    field->result = server().call(number.data(), device->gpu, [&](const Machine& machine, Nanoseconds now) {
      field->timestamp_us = server().wall_us(now);
      field->latency_us = machine.scenario().cost(number.data()).count() / 1000;
      return fake::give_field(machine.gpus()[static_cast<std::size_t>(device->gpu)], *field, now);
    });
    // As NVML 580 does, also where that is not the caller's.
    if (is_nvlink_sum(*field)) field[1].result = field->result;
  }
  return success;
}

Return nvmlDeviceGetSamples(Device device, SamplingType type, std::uint64_t last_seen_us, ValueType* value_type,
                            std::uint32_t* count, Sample* samples) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds now) -> Return {
    const bool of_utilization = type == samples_gpu_utilization || type == samples_memory_utilization;
    const auto ring = gpu.ring(type, now);
    if (!ring || (of_utilization && gpu.spec().mig_mode == fake::MigMode::on)) return not_supported;
    *value_type = value_unsigned_int;
    if (samples == nullptr) return give(static_cast<std::uint32_t>(gpu.ring_size(type)), count);
    if (*count == 0) return invalid_argument;
    std::uint32_t given = 0;
    for (const auto& entry : *ring) {
      const auto stamp = static_cast<std::uint64_t>(server().wall_us(entry.time));
      if (stamp <= last_seen_us || given == *count) continue;
      samples[given] = {.timestamp_us = stamp};
      samples[given++].value.unsigned_int = entry.value;
    }
    *count = given;
    return given > 0 ? success : not_found;
  });
}

Return nvmlDeviceGetTotalEccErrors(Device device, EccError error, EccCounter, std::uint64_t* count) {
  return on_gpu(__func__, device,
                [&](const Gpu& gpu, Nanoseconds now) { return give(gpu.ecc_errors(error, now), count); });
}

Return nvmlDeviceGetComputeRunningProcesses_v3(Device device, std::uint32_t* count, Process* processes) {
  return give_processes(__func__, fake::ProcessKind::compute, device, count, processes);
}
Return nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, std::uint32_t* count, Process* processes) {
  return give_processes(__func__, fake::ProcessKind::graphics, device, count, processes);
}
Return nvmlDeviceGetMPSComputeRunningProcesses_v3(Device device, std::uint32_t* count, Process* processes) {
  return give_processes(__func__, fake::ProcessKind::mps, device, count, processes);
}

// Of each busy process the latest window since then.
Return nvmlDeviceGetProcessUtilization(Device device, ProcessUtilization* samples, std::uint32_t* count,
                                       std::uint64_t last_seen_us) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds now) -> Return {
    if (gpu.spec().mig_mode == fake::MigMode::on) return not_supported;
    const Nanoseconds window_end = fake::last_refresh(gpu.spec().utilization, now);
    const auto stamp = static_cast<std::uint64_t>(server().wall_us(window_end));
    std::vector<ProcessUtilization> busy;
    for (const fake::GpuProcess& process : gpu.at(window_end).processes)
      if (process.utilization > 0 && stamp > last_seen_us)
        busy.push_back({.pid = process.pid.value_or(static_cast<std::uint32_t>(getpid())),
                        .timestamp_us = stamp,
                        .sm = static_cast<std::uint32_t>(process.utilization * 100 / fake::millionths)});
    const std::uint32_t room = *count;
    *count = static_cast<std::uint32_t>(busy.size());
    if (busy.empty()) return not_found;
    if (samples == nullptr || room < busy.size()) return insufficient_size;
    std::copy(busy.begin(), busy.end(), samples);
    return success;
  });
}

Return nvmlDeviceGetEncoderUtilization(Device device, std::uint32_t* percent, std::uint32_t* window_us) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds now) {
    *window_us = static_cast<std::uint32_t>(gpu.spec().utilization.window.count() / 1000);
    return give_known(gpu.at(now).encoder_percent, percent);
  });
}
Return nvmlDeviceGetDecoderUtilization(Device device, std::uint32_t* percent, std::uint32_t* window_us) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds now) {
    *window_us = static_cast<std::uint32_t>(gpu.spec().utilization.window.count() / 1000);
    return give_known(gpu.at(now).decoder_percent, percent);
  });
}
Return nvmlDeviceGetFanSpeed(Device device, std::uint32_t* percent) {
  return on_gpu(__func__, device,
                [&](const Gpu& gpu, Nanoseconds now) { return give_known(gpu.at(now).fan_percent, percent); });
}

Return nvmlDeviceGetNvLinkState(Device device, std::uint32_t link, std::uint32_t* is_active) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds) {
    return link < gpu.spec().nvlinks ? give(1U, is_active) : gpu.spec().nvlinks == 0 ? not_supported : invalid_argument;
  });
}

Return nvmlDeviceGetVirtualizationMode(Device device, VirtualizationMode* mode) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds) { return give(gpu.spec().virtualization, mode); });
}

Return nvmlDeviceGetMigMode(Device device, std::uint32_t* current, std::uint32_t* pending) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds) {
    if (gpu.spec().mig_mode == fake::MigMode::unsupported) return not_supported;
    *current = *pending = gpu.spec().mig_mode == fake::MigMode::on ? 1 : 0;
    return success;
  });
}

Return nvmlDeviceGetMaxMigDeviceCount(Device device, std::uint32_t* count) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds) {
    return give(gpu.spec().mig_mode == fake::MigMode::unsupported ? 0U : static_cast<std::uint32_t>(most_instances),
                count);
  });
}

Return nvmlDeviceGetMigDeviceHandleByIndex(Device device, std::uint32_t index, Device* instance) {
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds) {
    return index < gpu.spec().mig_instances ? give(handle_of(gpu.index(), static_cast<int>(index)), instance)
                                            : not_found;
  });
}

// Number i of instance i.
Return nvmlDeviceGetGpuInstanceId(Device instance, std::uint32_t* id) {
  return on_gpu_or_part(__func__, instance, [&](const Gpu&, Nanoseconds) {
    return instance->mig_instance < 0 ? not_supported : give(static_cast<std::uint32_t>(instance->mig_instance), id);
  });
}

Return nvmlDeviceGetSupportedEventTypes(Device device, std::uint64_t* types) {
  return on_gpu(__func__, device, [&](const Gpu&, Nanoseconds) {
    return give(event_single_bit_ecc | event_double_bit_ecc | event_xid, types);
  });
}

Return nvmlDeviceRegisterEvents(Device device, std::uint64_t types, EventSet set) {
  const Return called = on_gpu(__func__, device, [](const Gpu&, Nanoseconds) { return success; });
  return called == success ? server().register_events(device->gpu, types, set) : called;
}

Return nvmlEventSetCreate(EventSet* set) {
  return on_machine(__func__, [&](const Machine&, Nanoseconds) { return give(new EventSetHandle, set); });
}

Return nvmlEventSetWait_v2(EventSet set, EventData* data, std::uint32_t timeout_ms) {
  fake::Event event{};
  const Return waited = server().wait_event(set, std::chrono::milliseconds(timeout_ms), event);
  if (waited == success) *data = {handle_of(event.gpu, -1), event.type, event.data, no_instance, no_instance};
  return waited;
}

Return nvmlEventSetFree(EventSet set) {
  delete set;
  return success;
}

Return nvmlGpmQueryDeviceSupport(Device device, GpmSupport* support) {
  if (support->version != GpmSupport{}.version) return argument_version_mismatch;
  return on_gpu(__func__, device,
                [&](const Gpu& gpu, Nanoseconds) { return give(gpu.spec().gpm ? 1U : 0U, &support->is_supported); });
}

Return nvmlGpmSampleAlloc(GpmSample* sample) {
  return on_machine(__func__, [&](const Machine&, Nanoseconds) { return give(new GpmSampleHandle, sample); });
}

Return nvmlGpmSampleFree(GpmSample sample) {
  delete sample;
  return success;
}

Return nvmlGpmSampleGet(Device device, GpmSample sample) {
  const GpmCall call(server(), GpmCall::Kind::sample, device == nullptr ? -1 : device->gpu);
  if (!call.is_allowed()) return unknown;
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds now) {
    return gpu.spec().gpm ? give({gpu.index(), now}, sample) : not_supported;
  });
}

// An instance is as busy as the GPU.
Return nvmlGpmMigSampleGet(Device device, std::uint32_t gpu_instance, GpmSample sample) {
  const GpmCall call(server(), GpmCall::Kind::sample, device == nullptr ? -1 : device->gpu);
  if (!call.is_allowed()) return unknown;
  return on_gpu(__func__, device, [&](const Gpu& gpu, Nanoseconds now) -> Return {
    if (gpu_instance >= gpu.spec().mig_instances) return invalid_argument;
    return gpu.spec().gpm ? give({gpu.index(), now}, sample) : not_supported;
  });
}

// Each metric costs a call.
Return nvmlGpmMetricsGet(GpmMetrics* metrics) {
  const GpmCall call(server(), GpmCall::Kind::metrics, -1);
  if (!call.is_allowed()) return unknown;
  if (metrics->version != GpmMetrics{}.version) return argument_version_mismatch;
  const GpmSampleHandle first = *metrics->first, second = *metrics->second;
  if (first.gpu < 0 || first.gpu != second.gpu || metrics->count > metrics->metrics.size()) return invalid_argument;
  for (GpmMetric* metric = metrics->metrics.data(); metric != metrics->metrics.data() + metrics->count; ++metric) {
    metric->result = server().call(__func__, first.gpu, [&](const Machine& machine, Nanoseconds) {
      const Gpu& gpu = machine.gpus()[static_cast<std::size_t>(first.gpu)];
      const auto value = gpu.gpm_metric(metric->id, first.taken, second.taken);
      return value ? give(*value, &metric->value) : not_supported;
    });
  }
  return success;
}

}  // namespace batchscope::nvml
