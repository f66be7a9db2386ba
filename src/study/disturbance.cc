// CPU time of others, from /proc/stat less our own (study/disturbance.h).
#include "study/disturbance.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>

namespace batchscope {
namespace {

struct UsableCpus {
  bool usable[CPU_SETSIZE] = {};
  int count = 0;
};

UsableCpus affinity() {
  UsableCpus cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int i = 0; i < CPU_SETSIZE; ++i) cpus.usable[i] = CPU_ISSET(i, &set);
  cpus.count = CPU_COUNT(&set);
  return cpus;
}

std::optional<double> busy_seconds() {
  std::ifstream file("/proc/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const UsableCpus cpus = affinity();
  const long ticks = sysconf(_SC_CLK_TCK);
  if (cpus.count == 0 || ticks <= 0) return std::nullopt;
  return parse_busy_seconds(text.c_str(), cpus.usable, CPU_SETSIZE, static_cast<double>(ticks));
}

double seconds_of(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double seconds_of(const std::vector<pid_t>& beside) {
  double sum = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  for (const pid_t pid : beside)
    if (clockid_t clock{}; clock_getcpuclockid(pid, &clock) == 0) sum += seconds_of(clock);
  return sum;
}

}  // namespace

std::optional<double> parse_busy_seconds(const char* stat_text, const bool* cpus, int count, double ticks_per_s) {
  std::istringstream lines(stat_text);
  std::int64_t ticks = 0, seen = 0;
  for (std::string line; std::getline(lines, line);) {
    int cpu = -1;
    // user nice system idle iowait irq softirq steal; guest time is part of user.
    long long t[8] = {};
    if (std::sscanf(line.c_str(), "cpu%d %lld %lld %lld %lld %lld %lld %lld %lld", &cpu, &t[0], &t[1], &t[2], &t[3],
                    &t[4], &t[5], &t[6], &t[7]) != 9)
      continue;
    if (cpu < 0 || cpu >= count || !cpus[cpu]) continue;
    ticks += t[0] + t[1] + t[2] + t[5] + t[6] + t[7];
    ++seen;
  }
  if (seen == 0 || seen != std::count(cpus, cpus + count, true)) return std::nullopt;
  return static_cast<double>(ticks) / ticks_per_s;
}

Disturbance::Disturbance(std::vector<pid_t> beside)
    : begin_(monotonic_clock().now()),
      busy_s_(busy_seconds()),
      beside_(std::move(beside)),
      own_s_(seconds_of(beside_)) {}

std::optional<double> Disturbance::others_share() const {
  const auto busy = busy_seconds();
  const double wall_s = to_seconds(monotonic_clock().now() - begin_);
  // The kernel counts in ticks of 10 ms: a shorter time says nothing.
  if (!busy || !busy_s_ || wall_s < 0.2) return std::nullopt;
  const double others = (*busy - *busy_s_) - (seconds_of(beside_) - own_s_);
  return std::clamp(others / (wall_s * affinity().count), 0.0, 1.0);
}

}  // namespace batchscope
