// A device's memory: one region from which every buffer comes, last in, first out. A request beyond the capacity is
// the out-of-memory; the high-water mark is the peak.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/memory.h"
#include "tensor/tensor.h"

namespace batchscope {

// Told of every allocation and release; a planning device's trace.
class AllocationObserver {
 public:
  virtual ~AllocationObserver() = default;
  virtual void allocated(std::string_view what, MemoryUse use, std::int64_t bytes) = 0;
  virtual void released(std::int64_t buffers) = 0;  // the newest ones
};

// Where an arena's addresses come from: reserved pages of the host, or nothing at all for planning.
class ArenaBacking {
 public:
  virtual ~ArenaBacking() = default;
  virtual std::byte* base() const = 0;
  virtual std::int64_t bytes() const = 0;  // addresses available; a stated capacity may be smaller
  // Before the first `bytes` are used: there is memory behind them, or it throws OutOfMemory.
  virtual void commit(std::int64_t /*bytes*/) {}
};

// Zeroed pages of the host, taken only when touched.
class HostPages : public ArenaBacking {
 public:
  HostPages();  // as many as the machine has memory
  ~HostPages() override;
  HostPages(const HostPages&) = delete;
  HostPages& operator=(const HostPages&) = delete;
  std::byte* base() const override { return base_; }
  std::int64_t bytes() const override { return bytes_; }

 private:
  std::byte* base_ = nullptr;
  std::int64_t bytes_ = 0;
};

// Addresses with no memory behind them.
class NoPages : public ArenaBacking {
 public:
  std::byte* base() const override { return reinterpret_cast<std::byte*>(alignment); }
  std::int64_t bytes() const override { return std::int64_t{1} << 60; }
  static constexpr std::uintptr_t alignment = 1 << 16;
};

class Arena {
 public:
  // Every buffer starts at and fills a multiple of this.
  static constexpr std::int64_t granularity = 64;

  Arena(std::string device, ArenaBacking& backing) : device_(std::move(device)), backing_(backing) {}

  // [rows, columns], contiguous. `what` names the buffer in errors and traces. Throws OutOfMemory.
  Tensor allocate(std::string_view what, MemoryUse use, DType dtype, std::int64_t rows, std::int64_t columns);

  // Absent: all that the backing has. Throws OutOfMemory if more is in use already.
  void limit(std::optional<std::int64_t> capacity_bytes);
  std::optional<std::int64_t> capacity() const { return capacity_; }

  std::int64_t used() const { return used_; }
  std::int64_t peak() const { return peak_; }  // most in use at once since reset_peak()
  void reset_peak() { peak_ = used_; }

  void observe(AllocationObserver* observer) { observer_ = observer; }
  // Kept equal to used(), for readers in other threads and processes.
  void publish(std::atomic<std::int64_t>* used_bytes) { published_ = used_bytes; }

 private:
  friend class ArenaScope;
  void release_to(std::size_t buffers);
  void set_used(std::int64_t bytes);
  std::int64_t available() const { return capacity_.value_or(backing_.bytes()); }

  std::string device_;
  ArenaBacking& backing_;
  std::optional<std::int64_t> capacity_;
  std::vector<std::int64_t> sizes_;  // of live buffers, oldest first
  std::int64_t used_ = 0;
  std::int64_t peak_ = 0;
  AllocationObserver* observer_ = nullptr;
  std::atomic<std::int64_t>* published_ = nullptr;
};

// Releases, at its end, every buffer allocated since its begin.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), buffers_(arena.sizes_.size()) {}
  ~ArenaScope() { arena_.release_to(buffers_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  std::size_t buffers_;
};

}  // namespace batchscope
