// Pages of virtual devices in POSIX shared memory (virtual_devices.h, virtual_page.h).
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <new>

#include "base/check.h"
#include "base/procfs.h"
#include "base/virtual_page.h"

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

std::filesystem::path path_of(const std::string& name) { return std::filesystem::path("/dev/shm") / name; }

// /dev/shm is everybody's: what another user put there by a name of ours may be a pipe, a link or a device.
bool is_own_file(const struct stat& info) { return S_ISREG(info.st_mode) && info.st_uid == geteuid(); }

bool read_at(int file, void* out, std::size_t bytes, std::size_t offset) {
  return pread(file, out, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
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

VirtualDevicePage::VirtualDevicePage(int devices, int first_number) : mapping_(std::make_unique<Mapping>()) {
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
  if (!shared)
    spdlog::warn(
        "/dev/shm: {}: virtual devices cannot show their counters there, recordings lack them; mount a tmpfs "
        "with some space free (containers: --shm-size)",
        std::strerror(errno));
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
  header->first_number = first_number;
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
  const std::filesystem::path path = path_of(name);
  struct stat before {
  }, info{};
  if (lstat(path.c_str(), &before) != 0 || !is_own_file(before)) return nullptr;
  std::unique_ptr<VirtualPageView> view(new VirtualPageView);
  view->file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (view->file_ < 0 || fstat(view->file_, &info) != 0 || !is_own_file(info)) return nullptr;

  VirtualPageHeader header;
  if (!read_at(view->file_, static_cast<void*>(&header), sizeof header, 0)) return nullptr;
  if (header.magic.load() != virtual_page_magic || header.version != virtual_page_version || header.devices == 0 ||
      header.devices > max_virtual_devices || static_cast<std::size_t>(info.st_size) < page_bytes(header.devices))
    return nullptr;
  view->name_ = name;
  view->pid_ = static_cast<pid_t>(header.pid);
  view->start_ticks_ = header.start_ticks;
  view->pid_namespace_ = header.pid_namespace;
  view->devices_ = header.devices;
  view->first_number_ = static_cast<int>(header.first_number);
  view->counters_.resize(header.devices * sizeof(VirtualDeviceCounters) / sizeof(std::uint64_t));
  if (!view->alive()) {
    unlink(path.c_str());
    return nullptr;
  }
  return view->look() ? std::move(view) : nullptr;
}

VirtualPageView::~VirtualPageView() {
  if (file_ >= 0) close(file_);
}

// False only when the page's process certainly does not run any more.
bool VirtualPageView::alive() const {
  if (pid_namespace_ != pid_namespace()) return true;
  const auto start = process_start_ticks(pid_);
  return start && *start == start_ticks_;
}

bool VirtualPageView::look() {
  return read_at(file_, counters_.data(), counters_.size() * sizeof counters_[0], sizeof(VirtualPageHeader));
}

const VirtualDeviceCounters& VirtualPageView::device(int index) const {
  return reinterpret_cast<const VirtualDeviceCounters*>(counters_.data())[index];
}

// A phase's sequence is at its front: where a second copy still has the sequence of the first, nothing was written
// while the first was made.
std::optional<CurrentPhase::State> VirtualPageView::phase(int index) const {
  constexpr int most_tries = 100;
  const std::size_t offset = sizeof(VirtualPageHeader) + devices_ * sizeof(VirtualDeviceCounters) +
                             static_cast<std::size_t>(index) * sizeof(CurrentPhase);
  for (int i = 0; i < most_tries; ++i) {
    CurrentPhase copy;
    std::uint64_t first = 0, second = 0;
    if (!read_at(file_, static_cast<void*>(&copy), sizeof copy, offset)) return std::nullopt;
    std::memcpy(&first, static_cast<const void*>(&copy), sizeof first);
    if (!read_at(file_, &second, sizeof second, offset)) return std::nullopt;
    if (first == second && first % 2 == 0) return copy.read();
  }
  return std::nullopt;
}

}  // namespace batchscope
