// The arena: a stack of buffers in one region.
#include "tensor/arena.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/error.h"

namespace batchscope {

namespace {

// The host's memory, or a share of the addresses that `ulimit -v` leaves: other devices and all else need some, too.
std::int64_t reservable_bytes() {
  const std::int64_t page = sysconf(_SC_PAGESIZE), host = sysconf(_SC_PHYS_PAGES) * page;
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return host;
  std::int64_t used_pages = 0;
  std::ifstream("/proc/self/statm") >> used_pages;
  const std::int64_t left = static_cast<std::int64_t>(limit.rlim_cur) - used_pages * page;
  return std::clamp(left / 4 / page * page, page, host);
}

}  // namespace

HostPages::HostPages() : bytes_(reservable_bytes()) {
  void* address = mmap(nullptr, static_cast<std::size_t>(bytes_), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) throw Failure("cannot reserve {} bytes of addresses: {}", bytes_, std::strerror(errno));
  base_ = static_cast<std::byte*>(address);
  // Weights are read from end to end: small pages would cost a third of the bandwidth. Where there are no large ones
  // the call fails, and nothing is lost.
  madvise(address, static_cast<std::size_t>(bytes_), MADV_HUGEPAGE);
}

HostPages::~HostPages() { munmap(base_, static_cast<std::size_t>(bytes_)); }

Tensor Arena::allocate(std::string_view what, MemoryUse use, DType dtype, std::int64_t rows, std::int64_t columns) {
  CHECK_THAT(rows >= 0 && columns >= 0, "{} has a shape, this is [{}, {}]", what, rows, columns);
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(rows, columns, &bytes) || __builtin_mul_overflow(bytes, size_of(dtype), &bytes) ||
      bytes > backing_.bytes())
    throw OutOfMemory(device_, std::string(what), backing_.bytes(), used_, available());
  bytes = (bytes + granularity - 1) / granularity * granularity;
  if (bytes > available() - used_) throw OutOfMemory(device_, std::string(what), bytes, used_, available());
  backing_.commit(used_ + bytes);
  Tensor tensor{backing_.base() + used_, dtype, rows, columns, columns};
  sizes_.push_back(bytes);
  set_used(used_ + bytes);
  peak_ = std::max(peak_, used_);
  if (observer_ != nullptr) observer_->allocated(what, use, bytes);
  return tensor;
}

void Arena::limit(std::optional<std::int64_t> capacity_bytes) {
  if (capacity_bytes && used_ > *capacity_bytes)
    throw OutOfMemory(device_, "what is loaded", used_, 0, *capacity_bytes);
  capacity_ = capacity_bytes;
}

void Arena::release_to(std::size_t buffers) {
  const auto released = static_cast<std::int64_t>(sizes_.size() - buffers);
  std::int64_t used = used_;
  for (; sizes_.size() > buffers; sizes_.pop_back()) used -= sizes_.back();
  set_used(used);
  if (observer_ != nullptr && released > 0) observer_->released(released);
}

void Arena::set_used(std::int64_t bytes) {
  used_ = bytes;
  if (published_ != nullptr) published_->store(bytes, std::memory_order_relaxed);
}

}  // namespace batchscope
