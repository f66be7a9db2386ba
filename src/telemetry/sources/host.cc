// The host's counters (sources/host.h), from /proc and /sys.
#include "telemetry/sources/host.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "base/procfs.h"
#include "telemetry/command/command.h"
#include "telemetry/command/process_tree.h"
#include "telemetry/sources/control_group.h"

namespace batchscope {
namespace {

constexpr Nanoseconds kernel_tick = std::chrono::milliseconds(10);

Counter counter(std::string name, std::string unit, CounterKind kind, std::string device, std::string help,
                std::vector<Label> labels = {}) {
  Counter out;
  out.is_integer = unit != "seconds";
  out.name = std::move(name);
  out.unit = std::move(unit);
  out.kind = kind;
  out.device = std::move(device);
  out.labels = std::move(labels);
  out.help = std::move(help);
  return out;
}

void fill(std::span<Reading> out, const char* reason) { std::fill(out.begin(), out.end(), Reading::none(reason)); }

// Of static lifetime, unlike strerror's.
const char* reason_of_errno() {
  const char* text = strerrordesc_np(errno);
  return text != nullptr ? text : "unknown error";
}

double seconds_of(std::int64_t ticks) {
  static const double rate = static_cast<double>(sysconf(_SC_CLK_TCK));
  return static_cast<double>(ticks) / rate;
}

std::vector<std::string> entries(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    names.push_back(entry->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

HostSource::HostSource(Options options) : options_(std::move(options)) {}

Pace HostSource::pace(Nanoseconds asked) const { return Pace::relaxed(std::max(asked, kernel_tick)); }

void HostSource::add(std::vector<Counter> counters, Reader reader) {
  groups_.push_back({.id = static_cast<std::int64_t>(groups_.size()) + 1, .counters = std::move(counters)});
  readers_.push_back(std::move(reader));
}

void HostSource::read(std::size_t group, Rows& rows) {
  if (groups_[group].id == process_group_ && !has_begun()) return;
  rows.add_now(readers_[group]);
}

// What a held process uses is not its command's.
bool HostSource::has_begun() {
  if (has_begun_) return true;
  const auto stat = read_small_file(fmt::format("{}proc/{}/stat", options_.files, *options_.root));
  const auto process = stat ? parse_process_stat(*stat) : std::nullopt;
  has_begun_ = !process || process->name != held_name;
  return has_begun_;
}

bool HostSource::discover(const Clock&) {
  if (found_) return false;
  found_ = true;
  add_cpu_and_memory();
  add_control_group();
  if (options_.root) add_process();
  add_disks();
  add_networks();
  add_infiniband();
  return true;
}

void HostSource::add_cpu_and_memory() {
  add({counter("host_cpu_seconds_total", "seconds", CounterKind::cumulative, "host", "CPU time of all processes"),
       counter("host_memory_used_bytes", "bytes", CounterKind::gauge, "host",
               "memory in use: all but what is available"),
       counter("host_memory_total_bytes", "bytes", CounterKind::gauge, "host", "memory of the host")},
      [proc = options_.files + "proc/"](std::span<Reading> out) {
        const auto stat = read_small_file(proc + "stat");
        if (!stat) fill(out.first(1), reason_of_errno());
        if (const auto times = stat ? parse_cpu_times(*stat) : std::nullopt)
          out[0] = Reading::of(seconds_of(times->busy));
        const auto meminfo = read_small_file(proc + "meminfo");
        if (!meminfo) fill(out.subspan(1), reason_of_errno());
        if (const auto memory = meminfo ? parse_meminfo(*meminfo) : std::nullopt) {
          out[1] = Reading::of(memory->total_bytes - memory->available_bytes);
          out[2] = Reading::of(memory->total_bytes);
        }
      });
}

// Of what is observed: in a container it has less than the host.
void HostSource::add_control_group() {
  const std::string process = options_.root ? std::to_string(*options_.root) : "self";
  const auto group = ControlGroup::of(fmt::format("{}proc/{}/cgroup", options_.files, process), options_.files);
  if (group) add(ControlGroup::counters(), [group = *group](std::span<Reading> out) { group.read(out); });
}

void HostSource::add_process() {
  const std::string device = fmt::format("pid {} and descendants", *options_.root);
  const std::vector<Label> labels{{"pid", std::to_string(*options_.root)}};
  add({counter("process_cpu_seconds_total", "seconds", CounterKind::cumulative, device, "CPU time", labels),
       counter("process_resident_memory_bytes", "bytes", CounterKind::gauge, device,
               "resident memory, shared pages included", labels),
       counter("process_count", "processes", CounterKind::gauge, device, "running processes", labels)},
      [tree = std::make_shared<ProcessTree>(options_.files + "proc", *options_.root, options_.adopts),
       page = static_cast<std::int64_t>(sysconf(_SC_PAGESIZE))](std::span<Reading> out) {
        const ProcessTree::Use use = tree->use();
        if (use.processes == 0) return fill(out, "the process has ended");
        out[0] = Reading::of(seconds_of(use.cpu_ticks));
        out[0].lost = use.lost;
        out[1] = Reading::of(use.resident_pages * page);
        out[2] = Reading::of(static_cast<std::int64_t>(use.processes));
      });
  process_group_ = groups_.back().id;
}

void HostSource::add_disks() {
  // Whole disks only: a partition's bytes are its disk's too. Loop and RAM disks are no devices.
  std::vector<std::string> names;
  std::vector<Counter> counters;
  for (const std::string& name : entries(options_.files + "sys/block")) {
    if (name.starts_with("loop") || name.starts_with("ram")) continue;
    names.push_back(name);
    const std::vector<Label> labels{{"disk", name}};
    counters.push_back(
        counter("disk_read_bytes_total", "bytes", CounterKind::cumulative, name, "read from the disk", labels));
    counters.push_back(
        counter("disk_written_bytes_total", "bytes", CounterKind::cumulative, name, "written to the disk", labels));
  }
  if (names.empty()) return;
  add(std::move(counters), [names, path = options_.files + "proc/diskstats"](std::span<Reading> out) {
    const auto text = read_small_file(path);
    if (!text) return fill(out, reason_of_errno());
    fill(out, "the disk was removed");
    for (const DiskStats& disk : parse_diskstats(*text)) {
      const auto at = static_cast<std::size_t>(std::find(names.begin(), names.end(), disk.name) - names.begin());
      if (at == names.size()) continue;
      out[2 * at] = Reading::of(disk.read_bytes);
      out[2 * at + 1] = Reading::of(disk.written_bytes);
    }
  });
}

void HostSource::add_networks() {
  const std::string path = options_.files + "proc/net/dev";
  std::vector<std::string> names;
  std::vector<Counter> counters;
  const std::string listed = read_small_file(path).value_or("");  // the names below are parts of it
  for (const NetworkStats& network : parse_net_dev(listed)) {
    names.emplace_back(network.name);
    const std::vector<Label> labels{{"interface", names.back()}};
    counters.push_back(
        counter("network_receive_bytes_total", "bytes", CounterKind::cumulative, names.back(), "received", labels));
    counters.push_back(
        counter("network_transmit_bytes_total", "bytes", CounterKind::cumulative, names.back(), "sent", labels));
  }
  if (names.empty()) return;
  add(std::move(counters), [names, path](std::span<Reading> out) {
    const auto text = read_small_file(path);
    if (!text) return fill(out, reason_of_errno());
    fill(out, "the interface was removed");
    for (const NetworkStats& network : parse_net_dev(*text)) {
      const auto at = static_cast<std::size_t>(std::find(names.begin(), names.end(), network.name) - names.begin());
      if (at == names.size()) continue;
      out[2 * at] = Reading::of(network.received_bytes);
      out[2 * at + 1] = Reading::of(network.transmitted_bytes);
    }
  });
}

void HostSource::add_infiniband() {
  const std::string root = options_.files + "sys/class/infiniband";
  for (const std::string& adapter : entries(root))
    for (const std::string& port : entries(fmt::format("{}/{}/ports", root, adapter))) {
      const std::string device = fmt::format("{} port {}", adapter, port);
      const std::string folder = fmt::format("{}/{}/ports/{}/counters/", root, adapter, port);
      const std::vector<Label> labels{{"adapter", adapter}, {"port", port}};
      add({counter("infiniband_receive_bytes_total", "bytes", CounterKind::cumulative, device, "received", labels),
           counter("infiniband_transmit_bytes_total", "bytes", CounterKind::cumulative, device, "sent", labels)},
          [folder](std::span<Reading> out) {
            const char* files[] = {"port_rcv_data", "port_xmit_data"};
            for (std::size_t i = 0; i < 2; ++i) {
              const auto text = read_small_file(folder + files[i]);
              const auto words = text ? parse_number_file(*text) : std::nullopt;
              if (words && *words >= 0 && *words < INT64_MAX / 4)
                out[i] = Reading::of(*words * 4);  // the counter's unit is four bytes
              else
                out[i] = Reading::none(text ? "not a number" : reason_of_errno());
            }
          });
    }
}

}  // namespace batchscope
