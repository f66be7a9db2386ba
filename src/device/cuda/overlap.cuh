// Kernels that start while the one before ends (programmatic dependent launch, from compute capability 9.0 on): blocks are placed
// and may read what no kernel writes, such as weights, until they wait. Every kernel that is launched so waits for the one
// before, before it touches anything else: so all that came earlier is done, too.
#pragma once

#include <cuda_runtime.h>

#include "device/cuda/context.h"

namespace batchscope {

__device__ __forceinline__ void wait_for_previous_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// The next kernel's blocks may be placed once every block of this one has come here, or ended.
__device__ __forceinline__ void let_next_kernel_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
// Where nothing is read ahead: a kernel's first line.
__device__ __forceinline__ void begin_kernel() {
  let_next_kernel_start();
  wait_for_previous_kernel();
}

// Whether kernels were compiled with these instructions.
bool kernels_overlap();

// Launches a kernel that begins with begin_kernel(), or with its parts.
template <class... Parameters, class... Arguments>
void launch_overlapping(const char* what, cudaStream_t stream, dim3 grid, dim3 block, std::size_t shared_bytes,
                        void (*kernel)(Parameters...), const Arguments&... arguments) {
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = kernels_overlap() ? 1 : 0;
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), what);
}

}  // namespace batchscope
