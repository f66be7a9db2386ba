// The checks of `doctor` (doctor/checks.h).
#include "doctor/checks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/procfs.h"
#include "base/shared_library.h"
#include "base/units.h"
#include "base/virtual_page.h"
#include "doctor/gpu_checks.h"
#include "store/store.h"
#include "telemetry/sources/virtual_devices.h"

namespace batchscope {
namespace {

Check check_clock() {
  Check check{.id = "clock", .needed = true, .what = "monotonic clock that times sampling"};
  MonotonicClock clock;
  Nanoseconds previous = clock.now(), finest = std::chrono::seconds(1);
  bool backwards = false;
  for (int i = 0; i < 1000; ++i) {
    const Nanoseconds now = clock.now();
    if (now < previous) backwards = true;
    if (now > previous) finest = std::min(finest, now - previous);
    previous = now;
  }
  check.present = !backwards && finest < std::chrono::milliseconds(1);
  check.why = backwards ? "it goes backwards" : fmt::format("steps of {} ns or less", finest.count());
  if (!check.present) check.to_do = "boot with another clocksource (see /sys/devices/system/clocksource)";
  return check;
}

Check check_shared_memory() {
  Check check{
      .id = "shared-memory", .needed = true, .what = "/dev/shm, through which virtual devices publish counters"};
  const VirtualDevicePage page(1);
  for (const VirtualDevice& device : virtual_devices_now())
    if (device.pid == getpid()) check.present = true;
  check.why = check.present ? "a page was written and found again" : "a page of our own was not found again";
  if (!check.present) check.to_do = "mount a tmpfs at /dev/shm, writable, with some space free";
  return check;
}

Check check_thread_times() {
  Check check{.id = "thread-cpu-time", .what = "CPU time of threads, the busy time of virtual devices"};
  const auto text = read_small_file(fmt::format("/proc/self/task/{}/schedstat", gettid()));
  check.present = text && parse_schedstat(*text).has_value();
  check.why = check.present ? "/proc/PID/task/TID/schedstat can be read" : "/proc/PID/task/TID/schedstat is not there";
  if (!check.present) check.to_do = "use a kernel with CONFIG_SCHED_INFO; busy time stays absent without";
  return check;
}

Check check_host_counters() {
  Check check{.id = "host-counters", .what = "CPU, memory, disk and network of the host, from /proc"};
  const auto stat = read_small_file("/proc/stat"), memory = read_small_file("/proc/meminfo");
  check.present = stat && parse_cpu_times(*stat) && memory && parse_meminfo(*memory);
  check.why = check.present ? "/proc/stat and /proc/meminfo can be read" : "/proc is not there or is hidden";
  if (!check.present) check.to_do = "mount /proc";
  return check;
}

Check check_store() {
  Check check{.id = "store", .needed = true, .what = "SQLite with WAL, the .bscope file"};
  std::filesystem::path path;
  try {
    path = temporary_folder() / fmt::format("batchscope-doctor-{}-{}.bscope", geteuid(), getpid());
    {
      StoreWriter writer(path, OpenMode::replace);
      writer.begin_session("doctor");
    }
    check.present = StoreReader(path).check_integrity() == "ok";
    check.why = "a file was written and read in " + path.parent_path().string();
  } catch (const Error& error) {
    check.why = error.what();
    check.to_do = "set TMPDIR to a folder on a local disk where you may write";
  }
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  return check;
}

Check check_library(const char* id, const char* file, const char* what, const char* to_do) {
  Check check{.id = id, .what = what};
  try {
    const SharedLibrary library(file);
    check.present = true;
    check.why = fmt::format("{} loads", file);
  } catch (const Failure& failure) {
    check.why = failure.what();
    check.to_do = to_do;
  }
  return check;
}

}  // namespace

std::vector<Check> run_checks() {
  std::vector<Check> checks{check_clock(), check_shared_memory(), check_store(), check_host_counters(),
                            check_thread_times()};
  for (Check& check : gpu_checks()) checks.push_back(std::move(check));
  checks.push_back(check_library("cuda-driver", "libcuda.so.1", "CUDA driver, to compute on NVIDIA GPUs",
                                 "needed on GPU machines only: install the NVIDIA driver"));
  checks.push_back(check_library("nccl", "libnccl.so.2", "NCCL, transfers between NVIDIA GPUs",
                                 "needed on GPU machines only: install libnccl2"));
  return checks;
}

}  // namespace batchscope
