// `batchscope devices`: CPUs, virtual devices that run now, GPUs or why there are none.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/procfs.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/gpus_option.h"
#include "cli/output.h"
#include "doctor/gpu_description.h"
#include "report/wrap_text.h"
#include "telemetry/sources/control_group.h"
#include "telemetry/sources/nvml.h"
#include "telemetry/sources/virtual_devices.h"

namespace batchscope::cli {
namespace {

using nlohmann::json;

// As the kernel names it; absent where it does not.
std::optional<std::string> cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("model name"))
      if (const auto at = line.find(": "); at != std::string::npos) return line.substr(at + 2);
  return std::nullopt;
}

// What this process's container or job may use, and uses, where that is less than the host has.
struct Limits {
  std::optional<double> cores;
  std::optional<std::int64_t> memory_bytes, memory_used_bytes;
};

struct Host {
  std::optional<std::string> cpu = cpu_model();
  unsigned cpus = std::thread::hardware_concurrency();  // of the affinity mask
  std::optional<MemoryInfo> memory;
  std::optional<Limits> limits;
};

std::optional<Limits> look_at_limits() {
  const auto group = ControlGroup::of("/proc/self/cgroup");
  if (!group) return std::nullopt;
  std::vector<Reading> readings(ControlGroup::counters().size());
  group->read(readings);
  Limits limits;
  if (readings[2].absent == nullptr) limits.cores = readings[2].real;
  if (readings[3].absent == nullptr) limits.memory_used_bytes = readings[3].integer;
  if (readings[4].absent == nullptr) limits.memory_bytes = readings[4].integer;
  return limits;
}

Host look_at_host() {
  Host host;
  if (const auto text = read_small_file("/proc/meminfo")) host.memory = parse_meminfo(*text);
  host.limits = look_at_limits();
  return host;
}

struct Gpus {
  std::vector<std::string> why{};  // what is in the way, a line each
  std::optional<std::string> driver{};
  std::vector<GpuDescription> gpus{};

  explicit Gpus(const GpuChoice& choice) {
    std::vector<nvml::Refusal> missing;
    const std::vector<NvmlGpu> all = nvml_gpus(&missing, choice);
    for (const nvml::Refusal& refusal : missing) why.push_back(refusal.text());
    if (!all.empty()) driver = all[0].library->driver_version();
    gpus = describe(all);
  }
};

std::string text_of(const GpuDescription& gpu) {
  std::string out = fmt::format("         {:<7}{}, {}, {}\n", gpu.label, gpu.name, gpu.uuid, gpu.bus_id);
  std::vector<std::string> facts;
  if (gpu.memory_bytes)
    facts.push_back(format_bytes(static_cast<double>(*gpu.memory_bytes)) +
                    (gpu.memory_used_bytes
                         ? fmt::format(", {} in use", format_bytes(static_cast<double>(*gpu.memory_used_bytes)))
                         : ""));
  if (gpu.shares_host_memory) facts.emplace_back("shares the host's memory");
  if (gpu.pcie_generation && gpu.pcie_lanes)
    facts.push_back(fmt::format("PCIe {}.0 x{}", *gpu.pcie_generation, *gpu.pcie_lanes));
  facts.push_back(gpu.nvlinks > 0 ? fmt::format("{} NVLinks", gpu.nvlinks) : "no NVLink");
  facts.push_back(gpu.cuda_ordinal    ? fmt::format("cuda:{}", *gpu.cuda_ordinal)
                  : gpu.is_cuda_asked ? "not shown by CUDA"
                                      : "CUDA was not asked: it wakes GPUs that sleep");
  facts.push_back("MIG " + gpu.mig);
  out += wrap_text(fmt::format("{}", fmt::join(facts, "; ")), std::string(16, ' '), std::string(16, ' '));
  for (const MigInstance& instance : gpu.mig_instances)
    out += fmt::format("                {} MIG {}, {}{}\n", instance.label, instance.profile, instance.uuid,
                       instance.memory_bytes ? ", " + format_bytes(static_cast<double>(*instance.memory_bytes)) : "");
  return out;
}

std::string text_of(const Gpus& gpus) {
  std::string out;
  if (!gpus.gpus.empty())
    out += fmt::format("gpus     {}, NVIDIA driver {}\n", gpus.gpus.size(), gpus.driver.value_or("unknown"));
  for (const GpuDescription& gpu : gpus.gpus) out += text_of(gpu);
  for (const std::string& why : gpus.why)
    out += wrap_text(gpus.gpus.empty() ? "none: " + why : why, "gpus     ", "         ");
  return out;
}

// "limits   2 CPUs, 8.0 GiB of memory, 3.1 GiB in use (control group)"
std::string text_of(const Limits& limits) {
  std::vector<std::string> parts;
  if (limits.cores) parts.push_back(fmt::format("{:.3g} CPUs", *limits.cores));
  if (limits.memory_bytes)
    parts.push_back(format_bytes(static_cast<double>(*limits.memory_bytes)) + " of memory" +
                    (limits.memory_used_bytes
                         ? fmt::format(", {} in use", format_bytes(static_cast<double>(*limits.memory_used_bytes)))
                         : ""));
  return fmt::format("limits   {} (control group)\n", fmt::join(parts, ", "));
}

std::string text_of(const Host& host, const std::vector<VirtualDevice>& devices, const Gpus& gpus) {
  std::string out = fmt::format("host     {} CPUs, {}\n", host.cpus, host.cpu.value_or("model unknown"));
  if (host.memory)
    out += fmt::format("         {} of memory, {} available\n",
                       format_bytes(static_cast<double>(host.memory->total_bytes)),
                       format_bytes(static_cast<double>(host.memory->available_bytes)));
  if (host.limits) out += text_of(*host.limits);
  out += text_of(gpus);
  if (devices.empty())
    out += "virtual  none running; eval or study with --device cpu:4 starts four\n";
  else
    out += fmt::format("virtual  {:<18}{:>12}{:>12}{:>12}{:>12}\n", "device", "memory", "of", "sent", "received");
  for (const VirtualDevice& device : devices)
    out += fmt::format(
        "         {:<18}{:>12}{:>12}{:>12}{:>12}\n", fmt::format("{} (pid {})", device.name, device.pid),
        format_bytes(static_cast<double>(device.memory_used_bytes)),
        device.memory_capacity_bytes ? format_bytes(static_cast<double>(*device.memory_capacity_bytes)) : "no limit",
        format_bytes(static_cast<double>(device.link_tx_bytes)),
        format_bytes(static_cast<double>(device.link_rx_bytes)));
  return out;
}

template <class Value>
json or_null(const std::optional<Value>& value) {
  return value ? json(*value) : json();
}

json json_of(const std::vector<GpuDescription>& gpus) {
  json list = json::array();
  for (const GpuDescription& gpu : gpus) {
    json instances = json::array();
    for (const MigInstance& instance : gpu.mig_instances)
      instances.push_back({{"label", instance.label},
                           {"profile", instance.profile},
                           {"uuid", instance.uuid},
                           {"memory_bytes", or_null(instance.memory_bytes)}});
    list.push_back({{"label", gpu.label},
                    {"name", gpu.name},
                    {"uuid", gpu.uuid},
                    {"bus_id", gpu.bus_id},
                    {"cuda_ordinal", or_null(gpu.cuda_ordinal)},
                    {"memory_bytes", or_null(gpu.memory_bytes)},
                    {"memory_used_bytes", or_null(gpu.memory_used_bytes)},
                    {"shares_host_memory", gpu.shares_host_memory},
                    {"pcie_generation", or_null(gpu.pcie_generation)},
                    {"pcie_lanes", or_null(gpu.pcie_lanes)},
                    {"nvlinks", gpu.nvlinks},
                    {"mig", gpu.mig},
                    {"mig_instances", std::move(instances)}});
  }
  return list;
}

json json_of(const Host& host, const std::vector<VirtualDevice>& devices, const Gpus& gpus) {
  auto list = json::array();
  for (const VirtualDevice& device : devices)
    list.push_back(
        {{"name", device.name},
         {"pid", device.pid},
         {"virtual", true},
         {"memory",
          {{"capacity_bytes", or_null(device.memory_capacity_bytes)}, {"used_bytes", device.memory_used_bytes}}},
         {"link_tx_bytes", device.link_tx_bytes},
         {"link_rx_bytes", device.link_rx_bytes},
         {"busy_seconds", or_null(device.busy_seconds)}});
  return {{"host",
           {{"cpus", host.cpus},
            {"model", or_null(host.cpu)},
            {"memory_bytes", host.memory ? json(host.memory->total_bytes) : json()},
            {"memory_available_bytes", host.memory ? json(host.memory->available_bytes) : json()},
            {"limits", host.limits ? json({{"cores", or_null(host.limits->cores)},
                                           {"memory_bytes", or_null(host.limits->memory_bytes)},
                                           {"memory_used_bytes", or_null(host.limits->memory_used_bytes)}})
                                   : json()}}},
          {"gpus", json_of(gpus.gpus)},
          {"gpu_driver", {{"version", or_null(gpus.driver)}, {"why_not", gpus.why}}},
          {"virtual_devices", list}};
}

void devices(const std::string& json_file, const std::vector<std::string>& wanted) {
  const Gpus gpus{GpuChoice(wanted)};
  const Host host = look_at_host();
  const auto virtual_devices = virtual_devices_now();
  if (!json_file.empty())
    write_output(json_file,
                 json_of(host, virtual_devices, gpus).dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  if (json_file != "-") print_text(text_of(host, virtual_devices, gpus));
}

}  // namespace

void add_devices(CLI::App& app, int& exit_code) {
  auto json_file = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("devices", "list CPUs, GPUs and running virtual devices");
  command->add_option("--json", *json_file, "the list as one JSON object; - is standard output")->type_name("FILE");
  auto gpus = std::make_shared<std::vector<std::string>>();
  add_gpus(*command, *gpus);
  command->footer("Example:\n  batchscope devices --json -");
  command->callback([json_file, gpus, &exit_code] {
    devices(*json_file, *gpus);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
