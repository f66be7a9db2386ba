// Memory and utilisation of each process on a GPU (sources/nvml.h).
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "base/procfs.h"
#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

constexpr Nanoseconds search_period = std::chrono::seconds(1);

// The driver's numbers of processes are those of the machine, which in a container may be another process's.
bool are_pids_the_machines() {
  constexpr std::string_view first_namespace = "pid:[4026531836]";
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/ns/pid", error) == first_namespace;
}

bool has_a_gpu_open(std::uint32_t pid) {
  std::error_code error;
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  for (std::filesystem::directory_iterator file(folder, error), end; !error && file != end; file.increment(error)) {
    std::error_code ignored;
    if (std::filesystem::read_symlink(file->path(), ignored).native().starts_with("/dev/nvidia")) return true;
  }
  return false;
}

// "python"; nothing of another namespace, nor of a process that merely has the same number here.
std::optional<std::string> name_of_process(std::uint32_t pid) {
  const auto name = read_small_file(fmt::format("/proc/{}/comm", pid));
  if (!name || !(are_pids_the_machines() || has_a_gpu_open(pid))) return std::nullopt;
  return name->substr(0, name->find('\n'));
}

// The driver is asked when processes are looked for, once a period: a reading gives what it said then.
class ProcessesSource : public Source {
 public:
  explicit ProcessesSource(const NvmlGpu& gpu) : gpu_(gpu) {
    std::uint32_t count = 0;
    const nvml::Return result = gpu->nvmlDeviceGetProcessUtilization(gpu.device(), nullptr, &count, 0);
    has_utilization_ = result != nvml::not_supported && result != nvml::function_not_found;
  }
  std::string name() const override { return "processes " + gpu_.label(); }
  Pace pace(Nanoseconds asked) const override { return Pace::relaxed(std::max(asked, search_period)); }
  Nanoseconds discovery_period() const override { return Nanoseconds(0); }  // at each reading

  bool discover(const Clock& clock) override {
    before_ = clock.now();
    ask();
    if (has_utilization_) ask_utilization(clock.unix_now());
    after_ = clock.now();
    const bool changed = forget_ended() | add_new();
    for (Known& process : known_) process.is_fresh = true;
    return changed;
  }

  const std::vector<CounterGroup>& groups() const override { return groups_; }

  void read(std::size_t group, Rows& rows) override {
    Known& process = known_[group];
    if (!std::exchange(process.is_fresh, false)) return;
    const std::span<Reading> out = rows.row();
    out[0] = process.used_bytes == nvml::memory_unknown
                 ? Reading::none("the driver does not say how much memory a process uses")
                 : Reading::of(static_cast<std::int64_t>(process.used_bytes));
    if (has_utilization_) out[1] = utilization_of(process.pid);
    rows.add(before_, after_);
  }

 private:
  struct Known {
    std::uint32_t pid = 0;
    std::uint64_t used_bytes = 0;
    bool is_fresh = false;
  };
  using List = nvml::Return (*nvml::Functions::*)(nvml::Device, std::uint32_t*, nvml::Process*);

  void ask() {
    listed_.clear();
    for (const List list : {&nvml::Functions::nvmlDeviceGetComputeRunningProcesses_v3,
                            &nvml::Functions::nvmlDeviceGetGraphicsRunningProcesses_v3,
                            &nvml::Functions::nvmlDeviceGetMPSComputeRunningProcesses_v3})
      add_listed(list);
  }

  void add_listed(List list) {
    std::uint32_t count = 0;
    const auto function = gpu_.library->functions().*list;
    nvml::Return result = function(gpu_.device(), &count, nullptr);
    std::vector<nvml::Process> processes;
    while (result == nvml::insufficient_size) {
      count += 8;  // more may come in between
      processes.resize(count);
      result = function(gpu_.device(), &count, processes.data());
    }
    if (result != nvml::success) return;
    for (std::uint32_t i = 0; i < std::min<std::size_t>(count, processes.size()); ++i) {
      const nvml::Process& process = processes[i];
      const auto same =
          std::find_if(listed_.begin(), listed_.end(), [&](const auto& p) { return p.pid == process.pid; });
      if (same == listed_.end())
        listed_.push_back(process);
      else if (process.used_bytes != nvml::memory_unknown)
        same->used_bytes = same->used_bytes == nvml::memory_unknown ? process.used_bytes
                                                                    : std::max(same->used_bytes, process.used_bytes);
    }
  }

  // The driver lists the processes that were busy in its windows since then.
  void ask_utilization(Nanoseconds wall_now) {
    const auto in_us = [](Nanoseconds time) {
      return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
    };
    const std::uint64_t since = in_us(wall_now - search_period);
    std::uint32_t count = 0;
    asked_utilization_ = gpu_->nvmlDeviceGetProcessUtilization(gpu_.device(), nullptr, &count, since);
    busy_.clear();
    bool is_too_short = count > 0;
    while (is_too_short) {
      count += 8;  // more may come in between
      busy_.resize(count);
      asked_utilization_ = gpu_->nvmlDeviceGetProcessUtilization(gpu_.device(), busy_.data(), &count, since);
      is_too_short = asked_utilization_ == nvml::insufficient_size;
    }
    busy_.resize(asked_utilization_ == nvml::success ? std::min<std::size_t>(count, busy_.size()) : 0);
    if (asked_utilization_ == nvml::not_found) asked_utilization_ = nvml::success;  // none was
  }

  // Its latest; one that is not listed was idle.
  Reading utilization_of(std::uint32_t pid) const {
    const nvml::ProcessUtilization* latest = nullptr;
    for (const nvml::ProcessUtilization& sample : busy_)
      if (sample.pid == pid && (latest == nullptr || sample.timestamp_us > latest->timestamp_us)) latest = &sample;
    return reading_of(asked_utilization_, latest != nullptr ? latest->sm / 100.0 : 0.0);
  }

  std::vector<Counter> counters_of(std::uint32_t pid) const {
    std::vector<Counter> counters{gpu_.counter("gpu_process_memory_bytes", "bytes", CounterKind::gauge,
                                               "memory of the GPU that the process uses")};
    if (has_utilization_)
      counters.push_back(
          gpu_.real_counter("gpu_process_utilization_ratio", "ratio", CounterKind::window,
                            "share of the driver's window in which the process had a kernel on the GPU"));
    const auto name = name_of_process(pid);
    for (Counter& counter : counters) {
      counter.device = name ? fmt::format("{} {} (pid {})", gpu_.label(), *name, pid)
                            : fmt::format("{} pid {} outside this PID namespace", gpu_.label(), pid);
      counter.labels.push_back({"pid", std::to_string(pid)});
      if (name) counter.labels.push_back({"process", *name});
    }
    return counters;
  }

  bool forget_ended() {
    bool changed = false;
    for (std::size_t i = known_.size(); i-- > 0;) {
      const auto still =
          std::find_if(listed_.begin(), listed_.end(), [&](const auto& p) { return p.pid == known_[i].pid; });
      if (still != listed_.end()) {
        known_[i].used_bytes = still->used_bytes;
        continue;
      }
      known_.erase(known_.begin() + static_cast<std::ptrdiff_t>(i));
      groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(i));
      changed = true;
    }
    return changed;
  }

  bool add_new() {
    bool changed = false;
    for (const nvml::Process& process : listed_) {
      if (std::any_of(known_.begin(), known_.end(), [&](const Known& k) { return k.pid == process.pid; })) continue;
      groups_.push_back({.id = next_id_++, .counters = counters_of(process.pid)});
      known_.push_back({.pid = process.pid, .used_bytes = process.used_bytes});
      changed = true;
    }
    return changed;
  }

  NvmlGpu gpu_;
  std::vector<CounterGroup> groups_;
  std::vector<Known> known_;  // one a group
  std::vector<nvml::Process> listed_;
  bool has_utilization_ = false;
  nvml::Return asked_utilization_ = nvml::uninitialized;
  std::vector<nvml::ProcessUtilization> busy_;
  Nanoseconds before_{0}, after_{0};
  std::int64_t next_id_ = 1;
};

}  // namespace

std::unique_ptr<Source> processes_source(const NvmlGpu& gpu) { return std::make_unique<ProcessesSource>(gpu); }

}  // namespace batchscope
