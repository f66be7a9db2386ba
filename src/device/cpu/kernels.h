// A CPU device's kernels and what they run with.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/kernel_table.h"
#include "tensor/dtype.h"

namespace batchscope {

// What a kernel may use besides its op's tensors.
struct CpuContext {
  int threads = 1;
  std::byte* workspace = nullptr;  // as much as the op's entry in the table asked for
};

struct CpuKernels : KernelTable<CpuContext> {
  // Device::weight_panel of the GEMM among them.
  std::int64_t (*weight_panel)(DType dtype, std::int64_t rows, std::int64_t columns) =
      [](DType, std::int64_t, std::int64_t) { return std::int64_t{0}; };
};

}  // namespace batchscope
