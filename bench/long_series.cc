// Writes a long recording of simulated GPUs through StoreWriter, as `record` would, reports it with the real program,
// and says as JSON what it cost. bench/README.md says how it is run.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "store/store.h"
#include "study/environment.h"

using namespace batchscope;

namespace {

constexpr int devices = 8;
constexpr Nanoseconds period{5'000'000};  // 200 Hz
constexpr std::size_t ticks_a_commit = 100;
constexpr double bytes_allowed = 1.5e9, seconds_allowed = 5;

struct Counter {
  const char *name, *unit, *kind;
  bool is_integer;
};
constexpr std::array counters{
    Counter{"gpu_pcie_tx_bytes_total", "bytes", "cumulative", true},
    Counter{"gpu_pcie_rx_bytes_total", "bytes", "cumulative", true},
    Counter{"gpu_nvlink_tx_bytes_total", "bytes", "cumulative", true},
    Counter{"gpu_nvlink_rx_bytes_total", "bytes", "cumulative", true},
    Counter{"gpu_energy_joules_total", "joules", "cumulative", false},
    Counter{"gpu_power_watts", "watts", "gauge", false},
    Counter{"gpu_utilization_ratio", "ratio", "gauge", false},
    Counter{"gpu_memory_used_bytes", "bytes", "gauge", true},
};

// One GPU of an inference service: batches come and go, traffic and power follow them, each with its sensor's noise.
class SimulatedGpu {
 public:
  explicit SimulatedGpu(std::uint64_t seed) : random_(seed) {}

  void tick() {
    if (left_ == 0) {
      busy_ = !busy_;
      left_ = std::uniform_int_distribution<int>(busy_ ? 40 : 2, busy_ ? 400 : 40)(random_);
      if (busy_) memory_ = 60'000'000'000 + std::uniform_int_distribution<std::int64_t>(0, 1000)(random_) * 2'097'152;
    }
    --left_;
    const double load = busy_ ? 1 : 0.02;
    for (std::size_t link = 0; link < links_.size(); ++link)  // bytes in 5 ms, of 32 GB/s and of 300 GB/s
      links_[link] += static_cast<std::int64_t>(load * (link < 2 ? 4e7 : 6e8) * around_one_(random_)) + noise();
    power_ = std::round(1000 * (90 + 310 * load * around_one_(random_))) / 1000;  // the sensor's milliwatts
    energy_ += power_ * to_seconds(period);
    utilization_ = std::round(100 * std::min(1.0, 0.9 * load * around_one_(random_))) / 100;  // its percents
  }
  std::int64_t integer(std::size_t counter) const { return counter < links_.size() ? links_[counter] : memory_; }
  double real(std::size_t counter) const {
    return counter == 4 ? std::round(energy_ * 1000) / 1000 : counter == 5 ? power_ : utilization_;
  }
  std::int64_t noise() { return static_cast<std::int64_t>(random_() % (1 << 16)); }

 private:
  std::mt19937_64 random_;
  std::normal_distribution<double> around_one_{1, 0.01};
  bool busy_ = false;
  int left_ = 0;
  std::array<std::int64_t, 4> links_{};
  std::int64_t memory_ = 2'000'000'000;
  double power_ = 0, energy_ = 0, utilization_ = 0;
};

std::vector<std::vector<std::int64_t>> add_series(StoreWriter& writer, std::int64_t session) {
  std::vector<std::vector<std::int64_t>> ids(devices);
  for (int device = 0; device < devices; ++device)
    for (const Counter& counter : counters)
      ids[static_cast<std::size_t>(device)].push_back(writer.add_series({.session = session,
                                                                         .name = counter.name,
                                                                         .unit = counter.unit,
                                                                         .kind = counter.kind,
                                                                         .device = fmt::format("cuda:{}", device),
                                                                         .source = "simulated",
                                                                         .is_virtual = true,
                                                                         .is_integer = counter.is_integer,
                                                                         .help = "simulated"}));
  return ids;
}

SampleBlock block_of(SimulatedGpu& gpu, const std::vector<std::int64_t>& series, Nanoseconds begin) {
  SampleBlock block;
  for (const std::int64_t id : series) block.columns.push_back({.series = id});
  for (std::size_t tick = 0; tick < ticks_a_commit; ++tick) {
    gpu.tick();
    block.before.push_back(begin + static_cast<int>(tick) * period + Nanoseconds(gpu.noise()));
    block.after.push_back(block.before.back() + Nanoseconds(30'000 + gpu.noise() / 8));
    for (std::size_t c = 0; c < counters.size(); ++c) {
      if (counters[c].is_integer)
        block.columns[c].integers.push_back(gpu.integer(c));
      else
        block.columns[c].reals.push_back(gpu.real(c));
    }
  }
  return block;
}

void write(const std::filesystem::path& path, std::int64_t commits) {
  StoreWriter writer(path, OpenMode::replace);
  const auto session = writer.begin_session("record");
  writer.set_environment(session, environment());
  const auto series = add_series(writer, session);
  std::vector<SimulatedGpu> gpus;
  for (int device = 0; device < devices; ++device) gpus.emplace_back(device + 1);
  for (std::int64_t commit = 0; commit < commits; ++commit) {
    std::vector<SampleBlock> blocks;
    for (std::size_t device = 0; device < gpus.size(); ++device)
      blocks.push_back(block_of(gpus[device], series[device], commit * static_cast<int>(ticks_a_commit) * period));
    writer.append_samples(blocks, {});
  }
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
  const auto commits = static_cast<std::int64_t>(hours * 3600 / (to_seconds(period) * ticks_a_commit));
  const double write_s = seconds_of([&] { write(file, commits); });
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto bytes = std::filesystem::file_size(file);
  drop_from_memory(file);
  const double cold_s = seconds_of([&] { report(file); });
  const double warm_s = seconds_of([&] { report(file); });
  const std::int64_t values = commits * static_cast<std::int64_t>(ticks_a_commit * devices * counters.size());
  const bool ok = static_cast<double>(bytes) <= bytes_allowed && cold_s <= seconds_allowed;
  nlohmann::json machine = environment_json();
  machine.erase("host");
  const nlohmann::ordered_json json{
      {"what", "a recording of simulated GPUs, written through the store and reported"},
      {"command", fmt::format("long_series FILE {}", hours)},
      {"date", today()},
      {"machine", machine},
      {"devices", devices},
      {"counters_a_device", counters.size()},
      {"readings_per_s", 1 / to_seconds(period)},
      {"hours", hours},
      {"values", values},
      {"commits", commits},
      {"file_bytes", bytes},
      {"bytes_a_value", static_cast<double>(bytes) / static_cast<double>(values)},
      {"write_seconds", write_s},
      {"write_cpu_seconds", static_cast<double>(used.ru_utime.tv_sec) + static_cast<double>(used.ru_stime.tv_sec)},
      {"write_peak_memory_bytes", used.ru_maxrss * 1024},
      {"report_seconds_from_disk", cold_s},
      {"report_seconds_from_memory", warm_s},
      {"allowed", {{"file_bytes", bytes_allowed}, {"report_seconds_from_disk", seconds_allowed}}},
      {"ok", ok}};
  std::puts(json.dump(2).c_str());
  return ok;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    if (count != 3) throw InputError("usage: long_series FILE.bscope HOURS (it replaces the file)");
    return run(arguments[1], std::strtod(arguments[2], nullptr)) ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "long_series: %s\n", error.what());
    return 2;
  }
}
