// Starting a kernel on an op's stream: its blocks, its shared memory, and CUDA's answer.
#pragma once

#include <cstdint>
#include <limits>

#include "base/check.h"
#include "device/cuda/context.h"
#include "device/cuda/overlap.cuh"

namespace batchscope {

// Blocks of the kernel may use so much dynamic shared memory from now on, on the calling thread's device.
void allow_shared_memory(const void* kernel, std::int64_t bytes);

struct Grid {
  std::int64_t blocks;  // in one dimension, which kernels take apart: the others end at 65535
  int threads;
  std::int64_t shared_bytes = 0;
};

template <class Arguments>
void launch_kernel(const CudaContext& context, void (*kernel)(Arguments), const Grid& grid, const Arguments& arguments,
                   const char* what) {
  if (grid.blocks == 0) return;
  CHECK_THAT(grid.blocks <= std::numeric_limits<std::int32_t>::max(), "{} in {} blocks", what, grid.blocks);
  constexpr std::int64_t always_allowed = 48 << 10;
  if (grid.shared_bytes > always_allowed) allow_shared_memory(reinterpret_cast<const void*>(kernel), grid.shared_bytes);
  launch_overlapping(what, context.stream, static_cast<unsigned>(grid.blocks), static_cast<unsigned>(grid.threads),
                     static_cast<std::size_t>(grid.shared_bytes), kernel, arguments);
}

}  // namespace batchscope
