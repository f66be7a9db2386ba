// Pages of virtual devices in POSIX shared memory (virtual_devices.h, virtual_page.h).
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <new>

#include "base/check.h"
#include "telemetry/sources/procfs.h"
#include "telemetry/virtual_page.h"

namespace batchscope {
namespace {

std::uint64_t pid_namespace() {
  struct stat info {};
  return stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
}

std::size_t page_bytes(std::size_t devices) {
  return sizeof(VirtualPageHeader) + devices * (sizeof(VirtualDeviceCounters) + sizeof(CurrentPhase));
}

std::string name_prefix() { return fmt::format("batchscope-{}-", geteuid()); }

// True when the page's process certainly does not run any more.
bool is_dead(const VirtualPageHeader& header) {
  if (header.pid_namespace != pid_namespace()) return false;
  const auto start = process_start_ticks(static_cast<pid_t>(header.pid));
  return !start || *start != header.start_ticks;
}

// Pages of processes that were killed stay behind; opening them removes them.
void sweep() {
  for (const std::string& name : virtual_page_names()) VirtualPageView::open(name);
}

}  // namespace

std::optional<std::uint64_t> process_start_ticks(pid_t pid) {
  const auto stat = read_small_file(fmt::format("/proc/{}/stat", pid));
  const auto process = stat ? parse_process_stat(*stat) : std::nullopt;
  if (!process || process->state == 'Z' || process->state == 'X') return std::nullopt;
  return process->start_ticks;
}

std::vector<std::string> virtual_page_names() {
  std::vector<std::string> names;
  std::error_code error;
  const std::string prefix = name_prefix();
  for (std::filesystem::directory_iterator entry("/dev/shm", error), end; !error && entry != end;
       entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (name.starts_with(prefix)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct VirtualDevicePage::Mapping {
  std::string name;  // "" when only this process sees the page
  pid_t owner = getpid();
  void* address = nullptr;
  std::size_t size = 0;
  VirtualDeviceCounters* counters = nullptr;
  CurrentPhase* phases = nullptr;
  int devices = 0;

  // Whether a page of that name could be made; errno says why not.
  bool share(const std::string& candidate) {
    const int file = shm_open(candidate.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0) return false;
    address = MAP_FAILED;
    // posix_fallocate: a full /dev/shm shows here, not as a SIGBUS at the first store.
    if (posix_fallocate(file, 0, static_cast<off_t>(size)) == 0)
      address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (address == MAP_FAILED) {
      shm_unlink(candidate.c_str());
      address = nullptr;
      errno = ENOSPC;
      return false;
    }
    name = candidate;
    return true;
  }
};

VirtualDevicePage::VirtualDevicePage(int devices) : mapping_(std::make_unique<Mapping>()) {
  CHECK_THAT(devices > 0 && devices <= static_cast<int>(max_virtual_devices), "a page has 1 to {} devices, not {}",
             max_virtual_devices, devices);
  sweep();
  Mapping& page = *mapping_;
  page.devices = devices;
  page.size = page_bytes(static_cast<std::size_t>(devices));
  static std::atomic<int> serial{0};
  bool shared = false;
  do {
    shared = page.share(fmt::format("/{}{}-{}", name_prefix(), page.owner, serial++));
  } while (!shared && errno == EEXIST);
  if (!shared) page.address = mmap(nullptr, page.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page.address == MAP_FAILED) throw std::bad_alloc();

  auto* header = new (page.address) VirtualPageHeader;
  page.counters = reinterpret_cast<VirtualDeviceCounters*>(static_cast<std::byte*>(page.address) + sizeof *header);
  page.phases = reinterpret_cast<CurrentPhase*>(page.counters + devices);
  for (int i = 0; i < devices; ++i) {
    new (&page.counters[i]) VirtualDeviceCounters;
    new (&page.phases[i]) CurrentPhase;
  }
  header->version = virtual_page_version;
  header->devices = static_cast<std::uint32_t>(devices);
  header->pid = page.owner;
  header->start_ticks = process_start_ticks(page.owner).value_or(0);
  header->pid_namespace = pid_namespace();
  header->magic.store(virtual_page_magic, std::memory_order_release);
}

VirtualDevicePage::~VirtualDevicePage() {
  munmap(mapping_->address, mapping_->size);
  // A forked child has a copy of this object, but the page is its parent's.
  if (!mapping_->name.empty() && mapping_->owner == getpid()) shm_unlink(mapping_->name.c_str());
}

VirtualDeviceCounters& VirtualDevicePage::device(int index) {
  CHECK_THAT(index >= 0 && index < mapping_->devices, "device {} is one of {}", index, mapping_->devices);
  return mapping_->counters[index];
}

CurrentPhase& VirtualDevicePage::phase(int index) {
  CHECK_THAT(index >= 0 && index < mapping_->devices, "device {} is one of {}", index, mapping_->devices);
  return mapping_->phases[index];
}

int VirtualDevicePage::devices() const { return mapping_->devices; }

std::unique_ptr<VirtualPageView> VirtualPageView::open(const std::string& name) {
  const int file = shm_open(("/" + name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
  if (file < 0) return nullptr;
  struct stat info {};
  const bool ours = fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
                    static_cast<std::size_t>(info.st_size) >= page_bytes(1);
  void* address = MAP_FAILED;
  const auto size = static_cast<std::size_t>(info.st_size);
  if (ours) address = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (address == MAP_FAILED) return nullptr;

  std::unique_ptr<VirtualPageView> view(new VirtualPageView);
  view->name_ = name;
  view->size_ = size;
  view->header_ = static_cast<const VirtualPageHeader*>(address);
  view->counters_ = reinterpret_cast<const VirtualDeviceCounters*>(static_cast<const std::byte*>(address) +
                                                                   sizeof(VirtualPageHeader));
  const VirtualPageHeader& header = *view->header_;
  if (header.magic.load(std::memory_order_acquire) != virtual_page_magic || header.version != virtual_page_version ||
      header.devices == 0 || header.devices > max_virtual_devices || size < page_bytes(header.devices))
    return nullptr;
  view->devices_ = header.devices;
  view->phases_ = reinterpret_cast<const CurrentPhase*>(view->counters_ + header.devices);
  if (is_dead(header)) {
    shm_unlink(("/" + name).c_str());
    return nullptr;
  }
  return view;
}

VirtualPageView::~VirtualPageView() {
  if (header_ != nullptr) munmap(const_cast<VirtualPageHeader*>(header_), size_);
}

bool VirtualPageView::alive() const { return !is_dead(*header_); }

}  // namespace batchscope
