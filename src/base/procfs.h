// Parsers of the files in /proc and /sys. They take any bytes: what a line does not hold is
// absent. None allocates beyond its result.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope {

// The file's content (the first 256 KiB); absent when it cannot be read, with errno saying why.
std::optional<std::string> read_small_file(const std::string& path);

// "12345\n" of a file that holds one number.
std::optional<std::int64_t> parse_number_file(std::string_view text);

// The number in the line "key number", as in control groups' cpu.stat.
std::optional<std::int64_t> parse_keyed_number(std::string_view text, std::string_view key);

// First line of /proc/stat: all CPUs together, in ticks.
struct CpuTimes {
  std::int64_t busy = 0;   // user, nice, system, irq, softirq, steal
  std::int64_t total = 0;  // with idle and iowait
};
std::optional<CpuTimes> parse_cpu_times(std::string_view stat);

// Its further lines: CPUs that are online.
std::int64_t count_cpus(std::string_view stat);

struct MemoryInfo {
  std::int64_t total_bytes = 0, available_bytes = 0;
};
std::optional<MemoryInfo> parse_meminfo(std::string_view meminfo);

// A line of /proc/diskstats; whole disks and partitions alike.
struct DiskStats {
  std::string_view name;
  std::int64_t read_bytes = 0, written_bytes = 0;
};
std::vector<DiskStats> parse_diskstats(std::string_view diskstats);

// A line of /proc/net/dev.
struct NetworkStats {
  std::string_view name;
  std::int64_t received_bytes = 0, transmitted_bytes = 0;
};
std::vector<NetworkStats> parse_net_dev(std::string_view net_dev);

// /proc/PID/stat.
struct ProcessStat {
  std::int64_t pid = 0, parent = 0;
  std::string name{};  // as the kernel cuts it: 15 bytes
  char state = '?';
  std::int64_t cpu_ticks = 0;           // user + system of all its threads
  std::int64_t children_cpu_ticks = 0;  // of the children that it has waited for
  std::uint64_t start_ticks = 0;
  std::int64_t resident_pages = 0;
};
std::optional<ProcessStat> parse_process_stat(std::string_view stat);

// /proc/PID/task/TID/children: numbers of processes.
std::vector<std::int64_t> parse_children(std::string_view children);

// /proc/PID/task/TID/schedstat: nanoseconds on a CPU.
std::optional<std::int64_t> parse_schedstat(std::string_view schedstat);

}  // namespace batchscope
