// `batchscope devices`: CPUs, virtual devices that run now, GPUs or why there are none.
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>

#include "base/units.h"
#include "cli/command.h"
#include "cli/output.h"
#include "telemetry/checks.h"
#include "telemetry/sources/procfs.h"
#include "telemetry/sources/virtual_devices.h"
#include "telemetry/text.h"

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

struct Host {
  std::optional<std::string> cpu = cpu_model();
  unsigned cpus = std::thread::hardware_concurrency();  // that this process may use
  std::optional<MemoryInfo> memory;
};

Host look_at_host() {
  Host host;
  if (const auto text = read_small_file("/proc/meminfo")) host.memory = parse_meminfo(*text);
  return host;
}

std::string text_of(const Host& host, const std::vector<VirtualDevice>& devices, const GpuDriver& gpus) {
  std::string out = fmt::format("host     {} CPUs, {}\n", host.cpus, host.cpu.value_or("model unknown"));
  if (host.memory)
    out += fmt::format("         {} of memory, {} available\n",
                       format_bytes(static_cast<double>(host.memory->total_bytes)),
                       format_bytes(static_cast<double>(host.memory->available_bytes)));
  out += wrap_text(gpus.why, "gpus     ", "         ");
  if (devices.empty())
    out += "virtual  none runs now; --device cpu:4 of eval and study gives four\n";
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

json json_of(const Host& host, const std::vector<VirtualDevice>& devices, const GpuDriver& gpus) {
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
            {"memory_available_bytes", host.memory ? json(host.memory->available_bytes) : json()}}},
          {"gpus", json::array()},
          {"gpu_driver", {{"loads", gpus.loads}, {"why", gpus.why}}},
          {"virtual_devices", list}};
}

void devices(const std::string& json_file) {
  const Host host = look_at_host();
  const auto virtual_devices = virtual_devices_now();
  const GpuDriver gpus = gpu_driver();
  if (!json_file.empty())
    write_output(json_file,
                 json_of(host, virtual_devices, gpus).dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  if (json_file != "-") print(text_of(host, virtual_devices, gpus));
}

}  // namespace

void add_devices(CLI::App& app, int& exit_code) {
  auto json_file = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("devices", "CPUs, GPUs and the virtual devices that run now");
  command->add_option("--json", *json_file, "as one JSON object; - is standard output")->type_name("FILE");
  command->footer("Example:\n  batchscope devices --json -");
  command->callback([json_file, &exit_code] {
    devices(*json_file);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
