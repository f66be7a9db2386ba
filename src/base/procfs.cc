// Reads /proc and /sys: processes, their trees, CPU time, memory, disks and interfaces.
#include "base/procfs.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <limits>

namespace batchscope {
namespace {

constexpr std::string_view blanks = " \t";

// The next word of `rest`, which loses it; "" at the end.
std::string_view next_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(blanks), rest.size()));
  const auto word = rest.substr(0, rest.find_first_of(" \t\n"));
  rest.remove_prefix(word.size());
  return word;
}

std::string_view next_line(std::string_view& rest) {
  const auto line = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  return line;
}

template <class Number>
std::optional<Number> number(std::string_view word) {
  Number value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

// A count of the kernel's: never negative; one beyond int64 has no meaning here.
std::optional<std::int64_t> count(std::string_view word) {
  const auto value = number<std::int64_t>(word);
  return value && *value >= 0 ? value : std::nullopt;
}

// value × factor, absent beyond int64.
std::optional<std::int64_t> scaled(std::optional<std::int64_t> value, std::int64_t factor) {
  if (!value || *value > std::numeric_limits<std::int64_t>::max() / factor) return std::nullopt;
  return *value * factor;
}

// The words' numbers; absent when one of them is none.
template <std::size_t size>
std::optional<std::array<std::int64_t, size>> counts(std::string_view& rest) {
  std::array<std::int64_t, size> values{};
  for (std::int64_t& value : values) {
    const auto next = count(next_word(rest));
    if (!next) return std::nullopt;
    value = *next;
  }
  return values;
}

}  // namespace

std::optional<std::string> read_small_file(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  std::string content;
  std::array<char, 4096> buffer{};
  ssize_t got = 0;
  while (content.size() < (256 << 10) && (got = read(file, buffer.data(), buffer.size())) > 0)
    content.append(buffer.data(), static_cast<std::size_t>(got));
  close(file);
  if (got < 0) return std::nullopt;
  return content;
}

std::optional<std::int64_t> parse_number_file(std::string_view text) {
  const auto line = next_line(text);
  auto rest = line;
  return number<std::int64_t>(next_word(rest));
}

std::optional<std::int64_t> parse_keyed_number(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    auto line = next_line(text);
    if (next_word(line) == key) return count(next_word(line));
  }
  return std::nullopt;
}

std::int64_t count_cpus(std::string_view stat) {
  std::int64_t cpus = 0;
  while (!stat.empty()) {
    auto line = next_line(stat);
    const auto word = next_word(line);
    if (word.size() > 3 && word.starts_with("cpu")) ++cpus;
  }
  return cpus;
}

std::optional<CpuTimes> parse_cpu_times(std::string_view stat) {
  auto line = next_line(stat);
  if (next_word(line) != "cpu") return std::nullopt;
  const auto times = counts<8>(line);  // user nice system idle iowait irq softirq steal
  if (!times) return std::nullopt;
  std::int64_t total = 0;
  for (const std::int64_t time : *times)
    if (__builtin_add_overflow(total, time, &total)) return std::nullopt;
  return CpuTimes{.busy = total - (*times)[3] - (*times)[4], .total = total};
}

std::optional<MemoryInfo> parse_meminfo(std::string_view meminfo) {
  std::optional<std::int64_t> total, available;
  while (!meminfo.empty() && !(total && available)) {
    auto line = next_line(meminfo);
    const auto key = next_word(line);
    if (key == "MemTotal:") total = scaled(count(next_word(line)), 1024);
    if (key == "MemAvailable:") available = scaled(count(next_word(line)), 1024);
  }
  if (!total || !available) return std::nullopt;
  return MemoryInfo{.total_bytes = *total, .available_bytes = *available};
}

std::vector<DiskStats> parse_diskstats(std::string_view diskstats) {
  std::vector<DiskStats> disks;
  while (!diskstats.empty()) {
    auto line = next_line(diskstats);
    if (!counts<2>(line)) continue;  // major minor
    const auto name = next_word(line);
    const auto values = counts<7>(line);  // reads merged sectors ms writes merged sectors
    const auto read = values ? scaled((*values)[2], 512) : std::nullopt;
    const auto written = values ? scaled((*values)[6], 512) : std::nullopt;
    if (read && written) disks.push_back({.name = name, .read_bytes = *read, .written_bytes = *written});
  }
  return disks;
}

std::vector<NetworkStats> parse_net_dev(std::string_view net_dev) {
  std::vector<NetworkStats> interfaces;
  while (!net_dev.empty()) {
    auto line = next_line(net_dev);
    const auto colon = line.rfind(':');
    if (colon == std::string_view::npos) continue;  // the two lines of headings
    auto name = line.substr(0, colon);
    name.remove_prefix(std::min(name.find_first_not_of(blanks), name.size()));
    line.remove_prefix(colon + 1);
    const auto values = counts<9>(line);  // received: bytes and seven more; transmitted: bytes
    if (values && !name.empty())
      interfaces.push_back({.name = name, .received_bytes = (*values)[0], .transmitted_bytes = (*values)[8]});
  }
  return interfaces;
}

std::optional<ProcessStat> parse_process_stat(std::string_view stat) {
  // The name stands in parentheses and may hold anything, parentheses and line ends too.
  const auto open = stat.find(" ("), close = stat.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;
  ProcessStat out;
  const auto pid = count(stat.substr(0, open));
  auto rest = stat.substr(close + 2);
  const auto state = next_word(rest);
  const auto parent = count(next_word(rest));
  for (int skipped = 5; skipped <= 13; ++skipped) next_word(rest);
  const auto user = count(next_word(rest)), system = count(next_word(rest));
  const auto children_user = number<std::int64_t>(next_word(rest)),
             children_system = number<std::int64_t>(next_word(rest));
  for (int skipped = 18; skipped <= 21; ++skipped) next_word(rest);
  const auto start = number<std::uint64_t>(next_word(rest));
  next_word(rest);  // 23: virtual size
  const auto resident = count(next_word(rest));
  if (!pid || state.size() != 1 || !parent || !user || !system || !children_user || !children_system || !start ||
      !resident)
    return std::nullopt;
  out = {.pid = *pid,
         .parent = *parent,
         .name = std::string(stat.substr(open + 2, close - open - 2)),
         .state = state[0],
         .start_ticks = *start,
         .resident_pages = *resident};
  if (__builtin_add_overflow(*user, *system, &out.cpu_ticks) ||
      __builtin_add_overflow(*children_user, *children_system, &out.children_cpu_ticks))
    return std::nullopt;
  return out;
}

std::vector<std::int64_t> parse_children(std::string_view children) {
  std::vector<std::int64_t> pids;
  for (auto line = next_line(children); !line.empty();)
    if (const auto pid = count(next_word(line))) pids.push_back(*pid);
  return pids;
}

std::optional<std::int64_t> parse_schedstat(std::string_view schedstat) { return count(next_word(schedstat)); }

}  // namespace batchscope
