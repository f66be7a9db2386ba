// A recording of many hours of many GPUs: the fake NVML's machine in simulated time, through the sampler, the collector
// and the store, then reported with the real program; says as JSON what it cost. bench/README.md says how it is run.
// Readings are late as on a busy host, since instants that are all alike would compress too well.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "store/store.h"
#include "study/environment.h"
#include "telemetry/simulated_recording.h"

using namespace batchscope;

namespace {

constexpr int devices = 8;
constexpr Nanoseconds period{5'000'000};  // 200 Hz
constexpr double bytes_allowed = 1.5e9, seconds_allowed = 5, memory_swing_allowed = 10e6;

struct Written {
  std::int64_t readings = 0;
  std::int64_t least_memory = 0, most_memory = 0;  // resident, once a tenth of the time is over
};

std::int64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  std::int64_t all = 0, resident = 0;
  in >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// Each GPU is busy and idle by turns, at its own rhythm and with its own rates.
std::string scenario(int gpus) {
  std::string list;
  std::mt19937 random(1);
  std::uniform_real_distribution<double> share(0.1, 1);
  for (int gpu = 0; gpu < gpus; ++gpu) {
    std::string load;
    for (int i = 0; i < 16; ++i)
      load += fmt::format(
          R"({}{{"seconds": {:.4f}, "pcie_rx_bytes_per_s": {:.0f}, "pcie_tx_bytes_per_s": {:.0f},
             "nvlink_tx_bytes_per_s": {:.0f}, "nvlink_rx_bytes_per_s": {:.0f}, "power_w": {:.1f},
             "gpu_utilization": {:.3f}, "memory_used_bytes": {:.0f}, "sm_activity": {:.3f}, "tensor_activity": {:.3f}}})",
          i == 0 ? "" : ",", share(random), 30e9 * share(random), 10e9 * share(random), 300e9 * share(random),
          300e9 * share(random), 700 * share(random), share(random), 140e9 * share(random), share(random),
          share(random));
    list += fmt::format(R"({}{{"repeat": true, "load": [{}]}})", gpu == 0 ? "" : ",", load);
  }
  // Threads read at the same time, which one simulated clock cannot show: calls cost nothing.
  return fmt::format(R"({{"costs_us": {{"138": 0, "139": 0, "140": 0, "141": 0, "197": 0, "198": 0,
    "nvmlDeviceGetMemoryInfo_v2": 0, "nvmlDeviceGetTotalEnergyConsumption": 0, "nvmlDeviceGetSamples": 0,
    "nvmlGpmSampleGet": 0, "nvmlGpmMetricsGet": 0}}, "gpus": [{}]}})", list);
}

Written write(const std::filesystem::path& path, double hours) {
  StoreWriter writer(path, OpenMode::replace);
  const std::int64_t session = writer.begin_session("record");
  writer.set_environment(session, environment());
  SimulatedRecording recording(BATCHSCOPE_FAKE_NVML, scenario(devices), period, &writer, session);
  recording.be_late();
  Written written;
  constexpr int steps = 100;
  for (int step = 1; step <= steps; ++step) {
    recording.run_until(std::chrono::seconds(1) + from_seconds(hours * 3600 * step / steps));
    const std::int64_t memory = resident_bytes();
    if (step == steps / 10) written.least_memory = written.most_memory = memory;
    if (step < steps / 10) continue;
    written.least_memory = std::min(written.least_memory, memory);
    written.most_memory = std::max(written.most_memory, memory);
  }
  for (const CounterSummary& summary : recording.summaries()) written.readings += summary.count + summary.absent;
  return written;
}

double seconds_of(const std::function<void()>& work) {
  const Nanoseconds begin = monotonic_clock().now();
  work();
  return to_seconds(monotonic_clock().now() - begin);
}

// `batchscope report FILE`, which stands beside this program.
void report(const std::filesystem::path& file) {
  const auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "batchscope";
  const pid_t child = fork();
  if (child == 0) {
    dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    execl(program.c_str(), "batchscope", "report", file.c_str(), nullptr);
    _exit(125);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw Failure("{} report did not end well", program.string());
}

// So that the next reader has to fetch the file from the disk.
void drop_from_memory(const std::filesystem::path& file) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 || fsync(descriptor) != 0 || posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) != 0)
    throw Failure("cannot drop {} from memory", file.string());
  close(descriptor);
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&now));
  return text;
}

bool run(const std::filesystem::path& file, double hours) {
  Written written;
  const double write_s = seconds_of([&] { written = write(file, hours); });
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto bytes = std::filesystem::file_size(file);
  drop_from_memory(file);
  const double cold_s = seconds_of([&] { report(file); });
  const double warm_s = seconds_of([&] { report(file); });
  const auto swing = static_cast<double>(written.most_memory - written.least_memory);
  const bool ok =
      static_cast<double>(bytes) <= bytes_allowed && cold_s <= seconds_allowed && swing <= memory_swing_allowed;
  nlohmann::json machine = environment_json();
  machine.erase("host");
  const nlohmann::ordered_json json{
      {"what", "a recording of the fake NVML's GPUs in simulated time, written and reported"},
      {"command", fmt::format("long_recording FILE {}", hours)},
      {"date", today()},
      {"machine", machine},
      {"gpus", devices},
      {"asked_readings_per_s", 1 / to_seconds(period)},
      {"hours", hours},
      {"values", written.readings},
      {"file_bytes", bytes},
      {"bytes_a_value", static_cast<double>(bytes) / static_cast<double>(written.readings)},
      {"write_seconds", write_s},
      {"write_cpu_seconds", static_cast<double>(used.ru_utime.tv_sec) + static_cast<double>(used.ru_stime.tv_sec)},
      {"memory_bytes", {{"least", written.least_memory}, {"most", written.most_memory}}},
      {"report_seconds_from_disk", cold_s},
      {"report_seconds_from_memory", warm_s},
      {"allowed",
       {{"file_bytes", bytes_allowed},
        {"report_seconds_from_disk", seconds_allowed},
        {"memory_swing_bytes", memory_swing_allowed}}},
      {"ok", ok}};
  std::puts(json.dump(2).c_str());
  return ok;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    if (count != 3) throw InputError("usage: long_recording FILE.bscope HOURS (it replaces the file)");
    return run(arguments[1], std::strtod(arguments[2], nullptr)) ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "long_recording: %s\n", error.what());
    return 2;
  }
}
