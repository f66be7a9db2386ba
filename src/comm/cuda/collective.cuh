// What kernels of collectives have in common: flags in memory that several GPUs reach, units that are reduced.
#pragma once

#include "comm/cuda/peer_kernels.h"
#include "comm/peer_mailbox.h"
#include "device/cuda/device_clock.cuh"
#include "device/cuda/element.cuh"

namespace batchscope {

// A group as kernels take it.
struct CollectiveGroup {
  int members[most_peers];  // ranks of the layout
  int size, rank;
  PeerCounters* counters;
  const volatile int* aborted;
  bool is_timed;  // not where other work goes on beside it
};

// Kernels' part of what a rank knows: `entries` gets what all ranks of the group have left in the directory.
template <class Entry>
void describe(const PeerRank& self, const std::array<Entry*, most_peers>& directory, CollectiveGroup& group,
              Entry* (&entries)[most_peers]) {
  for (int i = 0; i < self.size(); ++i) {
    entries[i] = directory[static_cast<std::size_t>(i)];
    group.members[i] = self.members[static_cast<std::size_t>(i)];
    CHECK_THAT(entries[i] != nullptr, "rank {} of the group is there", i);
  }
  group.size = self.size();
  group.rank = self.rank;
  group.counters = self.counters;
  group.aborted = self.aborted;
  group.is_timed = !self.context.is_beside;
}

using Count = unsigned long long;  // what CUDA's atomics add

inline constexpr int collective_threads = 512;  // of a block

struct alignas(peer_unit_bytes) Unit {
  std::uint32_t words[4];
};
static_assert(sizeof(Unit) == peer_unit_bytes);

__device__ __forceinline__ void store_release(std::uint32_t* flag, std::uint32_t value) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}

__device__ __forceinline__ std::uint32_t load_acquire(const std::uint32_t* flag) {
  std::uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
  return value;
}

// Waits until the flag has come as far as `target`, counting modulo 2^32; false: the run was aborted. `pause_ns`: between
// looks, once the first few were in vain.
__device__ __forceinline__ bool wait_for(const std::uint32_t* flag, std::uint32_t target, const volatile int* aborted,
                                         unsigned pause_ns = 0) {
  for (unsigned spins = 1; static_cast<std::int32_t>(load_acquire(flag) - target) < 0; ++spins) {
    if (spins % 1024 == 0 && *aborted != 0) return false;
    if (pause_ns > 0 && spins > 16) __nanosleep(pause_ns);
  }
  return true;
}

struct Max {
  __device__ float operator()(float a, float b) const { return a > b || a != a ? a : b; }
};

template <class T, class Combine>
__device__ Unit combine_units(const Unit& a, const Unit& b, Combine combine) {
  Unit out;
  const T* x = reinterpret_cast<const T*>(&a);
  const T* y = reinterpret_cast<const T*>(&b);
  T* z = reinterpret_cast<T*>(&out);
#pragma unroll
  for (unsigned i = 0; i < sizeof(Unit) / sizeof(T); ++i) z[i] = narrow<T>(combine(widen(x[i]), widen(y[i])));
  return out;
}

inline bool is_aligned(const Tensor& x, std::int64_t bytes) {
  return reinterpret_cast<std::uintptr_t>(x.data) % static_cast<std::uintptr_t>(bytes) == 0;
}

// Calls body(Piece{}) with the largest type of pieces that tensors at `x`, `bytes` long, are moved in.
template <class Body>
void for_piece_type(const Tensor& x, std::int64_t bytes, const Body& body) {
  if (bytes % peer_unit_bytes == 0 && is_aligned(x, peer_unit_bytes)) return body(Unit{});
  if (bytes % 4 == 0) return body(std::uint32_t{});
  body(std::uint16_t{});
}

}  // namespace batchscope
