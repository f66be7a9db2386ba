// The machine now (top/live_feed.h).
#include "top/live_feed.h"

#include <fmt/format.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/json.h"
#include "base/procfs.h"
#include "telemetry/sources/nvml.h"

namespace batchscope::top {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t points_kept = 1024;                 // of each counter: more than the columns of a screen
constexpr Nanoseconds longest_look = milliseconds(1000);  // what is not looked at for some seconds is lost
constexpr std::array intervals{milliseconds(100),  milliseconds(200),  milliseconds(500),   milliseconds(1000),
                               milliseconds(2000), milliseconds(5000), milliseconds(10000), milliseconds(60000)};

std::int64_t unknown_increases(const CounterSummary& counter) {
  std::int64_t times = 0;
  for (const auto& gap : counter.gaps)
    if (gap.readings == 0) times += gap.times;
  return times;
}

// What was between two looks in one number: levels that are averages anyway are averaged.
bool is_mean(const Counter& counter) { return counter.kind == CounterKind::window || counter.unit == "ratio"; }

}  // namespace

namespace {

std::optional<std::int64_t> pid_of(const Counter& counter) {
  for (const Label& label : counter.labels) {
    std::int64_t pid = 0;
    const char* end = label.value.data() + label.value.size();
    if (label.name == "pid" && std::from_chars(label.value.data(), end, pid).ptr == end) return pid;
  }
  return std::nullopt;
}

// Nothing where there is no such process (any more, or in this PID namespace).
std::optional<ProcessOwner> owner_of(std::int64_t pid) {
  const std::string folder = fmt::format("/proc/{}", pid);
  struct stat status {};
  auto command = read_small_file(folder + "/cmdline");
  if (!command || stat(folder.c_str(), &status) != 0) return std::nullopt;
  while (!command->empty() && command->back() == '\0') command->pop_back();
  std::replace(command->begin(), command->end(), '\0', ' ');
  const passwd* user = getpwuid(status.st_uid);
  return ProcessOwner{.user = user != nullptr ? user->pw_name : std::to_string(status.st_uid),
                      .command = visible(*command)};
}

}  // namespace

std::map<std::int64_t, ProcessOwner> owners_of(const std::vector<CounterSummary>& counters) {
  std::map<std::int64_t, ProcessOwner> owners;
  for (const CounterSummary& counter : counters) {
    if (counter.counter.name != "gpu_process_memory_bytes") continue;
    const auto pid = pid_of(counter.counter);
    if (!pid || owners.contains(*pid)) continue;
    if (auto owner = owner_of(*pid)) owners.emplace(*pid, std::move(*owner));
  }
  return owners;
}

void LiveTracks::add(const std::vector<CounterSummary>& counters, Nanoseconds now) {
  for (const CounterSummary& counter : counters) {
    const auto [seen, is_new] = seen_.try_emplace(counter.number);
    if (is_new && is_on_screen(counter.counter.name)) seen->second.track = &tracks_.add(counter.counter);
    if (seen->second.track != nullptr) add(seen->second, counter, now);
  }
  looked_ = now;
}

void LiveTracks::add(Seen& seen, const CounterSummary& counter, Nanoseconds now) {
  Track& track = *seen.track;
  if (counter.count > seen.count) {
    const std::int64_t unknown = unknown_increases(counter);
    if (unknown > seen.unknown) track.add_absence(seen.end, counter.end, "its increase is unknown");
    const double mean = (counter.sum - seen.sum) / static_cast<double>(counter.count - seen.count);
    track.add(counter.end, is_mean(counter.counter) ? mean : counter.last);
    track.keep_last(points_kept);
    seen.unknown = unknown;
  }
  if (counter.absent_now != nullptr && counter.absent > seen.absent)
    track.add_absence(counter.count > 0 ? counter.end : looked_, now, counter.absent_now);
  seen.count = counter.count;
  seen.absent = counter.absent;
  seen.sum = counter.sum;
  seen.end = counter.end;
}

std::vector<RunningPhase> running_phases(std::vector<VirtualDevice> devices, Nanoseconds now) {
  std::stable_sort(devices.begin(), devices.end(), [](const auto& a, const auto& b) { return a.pid < b.pid; });
  const bool several = !devices.empty() && devices.front().pid != devices.back().pid;
  std::vector<RunningPhase> phases;
  for (VirtualDevice& device : devices) {
    if (!device.phase) continue;
    phases.push_back({.track = several ? fmt::format("{} (pid {})", device.name, device.pid) : device.name,
                      .name = std::move(device.phase->name),
                      .detail = std::move(device.phase->detail),
                      .since = std::max(now - device.phase->begin, Nanoseconds(0))});
  }
  return phases;
}

LiveFeed::LiveFeed(std::vector<std::unique_ptr<Source>> sources, Nanoseconds interval,
                   std::map<std::string, std::string> environment, std::string no_boards,
                   std::shared_ptr<LateGpus> late)
    : interval_(interval),
      environment_(std::move(environment)),
      no_boards_(std::move(no_boards)),
      late_(std::move(late)),
      live_(std::move(sources), {.period = std::clamp<Nanoseconds>(interval / 2, milliseconds(50), default_period)},
            late_) {}

Nanoseconds LiveFeed::update_interval() const { return std::min(interval_, longest_look); }

void LiveFeed::add_late_gpus() {
  if (late_ == nullptr) return;
  const std::vector<NvmlGpu> gpus = late_->gpus();
  if (gpus.size() > late_gpus_) environment_.merge(gpu_environment(gpus));
  late_gpus_ = gpus.size();
}

bool LiveFeed::update(bool paused) {
  const RecordingSummary summary = live_.look();
  const Nanoseconds now = monotonic_clock().now();
  tracks_.add(summary.counters, now);
  if (paused || now - shown_ < interval_ - interval_ / 4) return false;
  at_ = shown_ = now;
  add_late_gpus();
  phases_ = running_phases(virtual_devices_now(), monotonic_clock().now());
  owners_ = owners_of(summary.counters);
  sampling_ = {.cpu_share = 0.0};
  for (const SamplerFigures& figures : summary.samplers) {
    sampling_.has_begun &= !figures.curve || figures.ticks >= 2 || figures.stuck;
    *sampling_.cpu_share += figures.cpu_share.value_or(0);
    sampling_.missed += figures.missed + figures.dropped;
    if (figures.stuck) sampling_.stuck.push_back(figures.source);
  }
  return true;
}

Observation LiveFeed::observation() const {
  return {.tracks = tracks_.tracks(),
          .at = at_,
          .step = interval_,
          .environment = environment_,
          .sampling = sampling_,
          .phases = phases_,
          .owners = owners_};
}

Caption LiveFeed::caption() const {
  return {.title = "batchscope top",
          .when = date_text(monotonic_clock().unix_now() - (monotonic_clock().now() - at_)),
          .no_boards = no_boards_,
          .message = monotonic_clock().now() < message_until_ ? message_ : ""};
}

void LiveFeed::end_process(std::int64_t pid) {
  const bool is_asked = pid > 1 && owners_.contains(pid) && kill(static_cast<pid_t>(pid), SIGTERM) == 0;
  message_ = is_asked ? fmt::format("SIGTERM was sent to process {}", pid)
                      : fmt::format("process {} cannot be ended: {}", pid,
                                    owners_.contains(pid) ? std::strerror(errno) : "it is not one of this machine's");
  message_until_ = monotonic_clock().now() + std::chrono::seconds(5);
}

bool LiveFeed::handle(const Key& key) {
  const bool faster = key.is('+') || key.is('=');
  if (!faster && !key.is('-')) return false;
  const auto next = std::find_if(intervals.begin(), intervals.end(), [&](auto one) { return one > interval_; });
  const auto before = std::find_if(intervals.rbegin(), intervals.rend(), [&](auto one) { return one < interval_; });
  if (faster && before != intervals.rend()) interval_ = *before;
  if (!faster && next != intervals.end()) interval_ = *next;
  return true;
}

}  // namespace batchscope::top
