// Fuzz target: the parsers of /proc and /sys take any bytes.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/procfs.h"

using namespace batchscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  parse_number_file(text);
  if (const auto number = parse_keyed_number(text, "oom_kill"))
    if (*number < 0) std::abort();
  if (count_cpus(text) < 0) std::abort();
  if (const auto times = parse_cpu_times(text))
    if (times->busy < 0 || times->busy > times->total) std::abort();
  if (const auto memory = parse_meminfo(text))
    if (memory->total_bytes < 0 || memory->available_bytes < 0) std::abort();
  for (const auto& disk : parse_diskstats(text))
    if (disk.read_bytes < 0 || disk.written_bytes < 0) std::abort();
  for (const auto& network : parse_net_dev(text))
    if (network.received_bytes < 0 || network.transmitted_bytes < 0) std::abort();
  parse_process_stat(text);
  for (const auto pid : parse_children(text))
    if (pid < 0) std::abort();
  if (const auto busy = parse_schedstat(text))
    if (*busy < 0) std::abort();
  return 0;
}
