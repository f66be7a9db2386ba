// Virtual devices as a source (sources/virtual_devices.h).
#include "telemetry/sources/virtual_devices.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/procfs.h"
#include "base/virtual_page.h"

namespace batchscope {
namespace {

constexpr std::size_t counters_a_device = 5;

// CPU time of one thread of another process. The file stays open: a reading is one system call.
class ThreadTime {
 public:
  ~ThreadTime() {
    if (file_ >= 0) close(file_);
  }
  ThreadTime() = default;
  ThreadTime(const ThreadTime&) = delete;
  ThreadTime& operator=(const ThreadTime&) = delete;

  Reading read(pid_t pid, std::int32_t thread) {
    if (thread == 0) return Reading::none("the device has no worker thread yet");
    if (thread != thread_) reopen(pid, thread);
    std::array<char, 128> text{};
    const ssize_t size = file_ < 0 ? -1 : pread(file_, text.data(), text.size(), 0);
    if (size < 0) return Reading::none("the device's worker thread has ended");
    const auto busy = parse_schedstat({text.data(), static_cast<std::size_t>(size)});
    if (!busy) return Reading::none("the kernel gives no CPU time per thread (schedstat)");
    return Reading::of(static_cast<double>(*busy) * 1e-9);
  }

 private:
  void reopen(pid_t pid, std::int32_t thread) {
    if (file_ >= 0) close(file_);
    thread_ = thread;
    file_ = open(fmt::format("/proc/{}/task/{}/schedstat", pid, thread).c_str(), O_RDONLY | O_CLOEXEC);
  }

  int file_ = -1;
  std::int32_t thread_ = 0;
};

Counter counter(std::string name, std::string unit, CounterKind kind, int device, std::int64_t pid, std::string help) {
  Counter out;
  out.is_integer = unit != "seconds";
  out.name = std::move(name);
  out.unit = std::move(unit);
  out.device = fmt::format("cpu:{} (pid {})", device, pid);
  out.labels = {{"gpu", fmt::format("cpu:{}", device)}, {"pid", std::to_string(pid)}, {"virtual", "true"}};
  out.kind = kind;
  out.is_virtual = true;
  out.help = std::move(help);
  return out;
}

std::vector<Counter> counters_of(const VirtualPageView& page) {
  std::vector<Counter> counters;
  for (int i = 0; i < page.devices(); ++i) {
    const auto add = [&](const char* name, const char* unit, CounterKind kind, const char* help) {
      counters.push_back(counter(name, unit, kind, page.first_number() + i, page.pid(), help));
    };
    add("gpu_busy_seconds_total", "seconds", CounterKind::cumulative, "CPU time of the virtual device's worker thread");
    add("gpu_memory_used_bytes", "bytes", CounterKind::gauge, "memory in use in the virtual device's arena");
    add("gpu_memory_capacity_bytes", "bytes", CounterKind::gauge, "size of the virtual device's arena");
    add("link_tx_bytes_total", "bytes", CounterKind::cumulative, "sent over the virtual device's links");
    add("link_rx_bytes_total", "bytes", CounterKind::cumulative, "received over the virtual device's links");
  }
  return counters;
}

}  // namespace

struct VirtualDeviceSource::Process {
  std::unique_ptr<VirtualPageView> page;
  std::vector<ThreadTime> threads;

  explicit Process(std::unique_ptr<VirtualPageView> view)
      : page(std::move(view)), threads(static_cast<std::size_t>(page->devices())) {}
};

bool descends_from(pid_t pid, pid_t root) {
  for (int generation = 0; generation < 64 && pid > 0; ++generation) {
    if (pid == root) return true;
    const auto stat = read_small_file(fmt::format("/proc/{}/stat", pid));
    const auto process = stat ? parse_process_stat(*stat) : std::nullopt;
    if (!process) return false;
    pid = static_cast<pid_t>(process->parent);
  }
  return false;
}

VirtualDeviceSource::VirtualDeviceSource(std::optional<pid_t> root) : root_(root) {}
VirtualDeviceSource::~VirtualDeviceSource() = default;

bool VirtualDeviceSource::discover(const Clock&) {
  const auto before = groups_.size();
  const auto names = virtual_page_names();
  // What has ended was read once more since: its links' totals are complete.
  for (std::size_t i = processes_.size(); i-- > 0;) {
    const VirtualPageView& page = *processes_[i]->page;
    if (page.alive() && std::binary_search(names.begin(), names.end(), page.name())) continue;
    processes_.erase(processes_.begin() + static_cast<std::ptrdiff_t>(i));
    groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  bool changed = groups_.size() != before;
  for (const std::string& name : names) {
    const bool known = std::any_of(processes_.begin(), processes_.end(),
                                   [&](const auto& process) { return process->page->name() == name; });
    auto page = known ? nullptr : VirtualPageView::open(name);
    if (page == nullptr || (root_ && !descends_from(page->pid(), *root_))) continue;
    groups_.push_back({.id = next_id_++, .counters = counters_of(*page)});
    processes_.push_back(std::make_unique<Process>(std::move(page)));
    changed = true;
  }
  return changed;
}

void VirtualDeviceSource::read(std::size_t group, Rows& rows) {
  rows.add_now([&](std::span<Reading> out) { read(*processes_[group], out); });
}

void VirtualDeviceSource::read(Process& process, std::span<Reading> out) {
  const bool alive = process.page->alive();
  if (!process.page->look()) {
    std::fill(out.begin(), out.end(), Reading::none("the device's page was removed"));
    return;
  }
  for (std::size_t i = 0; i < process.threads.size(); ++i) {
    const VirtualDeviceCounters& device = process.page->device(static_cast<int>(i));
    const auto now = [](const std::atomic<std::int64_t>& value) {
      return Reading::of(value.load(std::memory_order_relaxed));
    };
    Reading* reading = &out[i * counters_a_device];
    reading[0] = process.threads[i].read(process.page->pid(), device.thread_id.load(std::memory_order_relaxed));
    reading[1] = alive ? now(device.memory_used_bytes) : Reading::none("the device's process has ended");
    reading[2] = now(device.memory_capacity_bytes);
    if (reading[2].integer == 0) reading[2] = Reading::none("the device's memory is not limited");
    reading[3] = now(device.link_tx_bytes);  // the page, open, outlives the process: its last bytes are counted
    reading[4] = now(device.link_rx_bytes);
  }
}

std::vector<VirtualDevice> virtual_devices_now() {
  std::vector<VirtualDevice> devices;
  for (const std::string& name : virtual_page_names()) {
    const auto page = VirtualPageView::open(name);
    for (int i = 0; page != nullptr && i < page->devices(); ++i) {
      const VirtualDeviceCounters& counters = page->device(i);
      VirtualDevice device{.name = fmt::format("cpu:{}", page->first_number() + i),
                           .pid = page->pid(),
                           .memory_used_bytes = counters.memory_used_bytes.load(),
                           .link_tx_bytes = counters.link_tx_bytes.load(),
                           .link_rx_bytes = counters.link_rx_bytes.load()};
      if (const auto capacity = counters.memory_capacity_bytes.load(); capacity > 0)
        device.memory_capacity_bytes = capacity;
      const Reading busy = ThreadTime().read(page->pid(), counters.thread_id.load());
      if (busy.absent == nullptr) device.busy_seconds = busy.real;
      device.phase = page->phase(i);
      devices.push_back(std::move(device));
    }
  }
  return devices;
}

}  // namespace batchscope
