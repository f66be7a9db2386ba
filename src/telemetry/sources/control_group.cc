// Files of cgroup v2, and of v1 where those are missing (sources/control_group.h).
#include "telemetry/sources/control_group.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/control_groups.h"
#include "base/procfs.h"

namespace batchscope {
namespace {

constexpr const char* unlimited = "the group has no limit";
constexpr const char* uncounted = "the kernel does not count it for this group";

Counter counter(std::string name, std::string unit, CounterKind kind, std::string help) {
  Counter out;
  out.is_integer = unit == "bytes" || unit == "kills";
  out.name = std::move(name);
  out.unit = std::move(unit);
  out.kind = kind;
  out.device = "cgroup";
  out.help = std::move(help);
  return out;
}

std::optional<std::int64_t> number_in(const std::filesystem::path& file) {
  const auto text = read_small_file(file);
  return text ? parse_number_file(*text) : std::nullopt;
}

std::optional<std::int64_t> keyed_in(const std::filesystem::path& file, std::string_view key) {
  const auto text = read_small_file(file);
  return text ? parse_keyed_number(*text, key) : std::nullopt;
}

Reading seconds_of(const std::optional<std::int64_t>& microseconds, const std::optional<std::int64_t>& nanoseconds) {
  if (microseconds) return Reading::of(static_cast<double>(*microseconds) * 1e-6);
  if (nanoseconds) return Reading::of(static_cast<double>(*nanoseconds) * 1e-9);
  return Reading::none(uncounted);
}

Reading integer_of(const std::optional<std::int64_t>& value) {
  return value ? Reading::of(*value) : Reading::none(uncounted);
}

// A group's own; version 1 writes "no limit" as a number beyond all memory.
std::optional<std::int64_t> memory_limit(const std::filesystem::path& group) {
  constexpr std::int64_t no_limit = std::int64_t{1} << 60;
  auto limit = number_in(group / "memory.max");
  if (!limit) limit = number_in(group / "memory.limit_in_bytes");
  return limit && *limit >= 0 && *limit < no_limit ? limit : std::nullopt;
}

// What counts against the limit and cannot be dropped: what Kubernetes calls the working set.
std::optional<std::int64_t> memory_used(const std::filesystem::path& group) {
  const auto current = number_in(group / "memory.current");
  const auto used = current ? current : number_in(group / "memory.usage_in_bytes");
  if (!used) return std::nullopt;
  const auto cache = keyed_in(group / "memory.stat", current ? "inactive_file" : "total_inactive_file");
  return std::max(std::int64_t{0}, *used - cache.value_or(0));
}

// The group with the smallest limit; without any the innermost.
template <class Limit>
std::pair<std::filesystem::path, std::optional<double>> tightest(const std::vector<std::filesystem::path>& groups,
                                                                 const Limit& limit_of) {
  std::pair<std::filesystem::path, std::optional<double>> found;
  for (const auto& group : groups) {
    const auto limit = limit_of(group);
    if (found.second && !(limit && *limit <= *found.second)) continue;
    found.first = group;
    if (limit) found.second = static_cast<double>(*limit);
  }
  return found;
}

}  // namespace

std::optional<ControlGroup> ControlGroup::of(const std::filesystem::path& membership, const std::string& files) {
  const std::filesystem::path mount = files + "sys/fs/cgroup";
  const auto [cpu, cores] = tightest(control_groups("cpu", mount, membership), cpu_quota);
  const auto [memory, bytes] = tightest(control_groups("memory", mount, membership), memory_limit);
  const auto stat = read_small_file(files + "proc/stat"), meminfo = read_small_file(files + "proc/meminfo");
  const auto host_memory = meminfo ? parse_meminfo(*meminfo) : std::nullopt;
  const std::int64_t host_cpus = stat ? count_cpus(*stat) : 0;
  const bool limits_cpu = cores && (host_cpus == 0 || *cores < static_cast<double>(host_cpus));
  const bool limits_memory = bytes && (!host_memory || *bytes < static_cast<double>(host_memory->total_bytes));
  if (!limits_cpu && !limits_memory) return std::nullopt;
  ControlGroup group;
  group.cpu_ = cpu;
  group.memory_ = memory;
  return group;
}

std::vector<Counter> ControlGroup::counters() {
  using enum CounterKind;
  return {counter("cgroup_cpu_seconds_total", "seconds", cumulative, "CPU time of the control group"),
          counter("cgroup_cpu_throttled_seconds_total", "seconds", cumulative,
                  "time for which the CPU limit kept the control group from running"),
          counter("cgroup_cpu_limit_cores", "cores", gauge, "CPUs that the control group may use"),
          counter("cgroup_memory_used_bytes", "bytes", gauge,
                  "memory of the control group without file cache that can be dropped"),
          counter("cgroup_memory_limit_bytes", "bytes", gauge, "memory that the control group may use"),
          counter("cgroup_oom_kills_total", "kills", cumulative,
                  "processes of the control group that the kernel killed for want of memory")};
}

void ControlGroup::read(std::span<Reading> out) const {
  const auto quota = cpu_quota(cpu_);
  const auto limit = memory_limit(memory_);
  out[0] = seconds_of(keyed_in(cpu_ / "cpu.stat", "usage_usec"), number_in(cpu_ / "cpuacct.usage"));
  out[1] = seconds_of(keyed_in(cpu_ / "cpu.stat", "throttled_usec"), keyed_in(cpu_ / "cpu.stat", "throttled_time"));
  out[2] = quota ? Reading::of(*quota) : Reading::none(unlimited);
  out[3] = integer_of(memory_used(memory_));
  out[4] = limit ? Reading::of(*limit) : Reading::none(unlimited);
  const auto kills = keyed_in(memory_ / "memory.events", "oom_kill");
  out[5] = integer_of(kills ? kills : keyed_in(memory_ / "memory.oom_control", "oom_kill"));
}

}  // namespace batchscope
