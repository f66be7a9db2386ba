// The GPU's own clock, which all of its kernels share.
#pragma once

#include <cstdint>

namespace batchscope {

__device__ __forceinline__ std::uint64_t now_ns() {
  std::uint64_t time;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(time));
  return time;
}

}  // namespace batchscope
