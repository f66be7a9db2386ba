// What a CUDA kernel may use besides its op's tensors. Needs the toolkit's headers: only sources of the CUDA library include
// it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace batchscope {

class CudaGemm;  // products by cuBLASLt (ops/linear_cuda.h)

struct CudaContext {
  cudaStream_t stream = nullptr;
  int multiprocessors = 0;
  int shared_bytes = 0;            // of a block, at most
  std::byte* workspace = nullptr;  // as much as the op's entry in the table asked for; on the device, 64-byte aligned
  CudaGemm* gemm = nullptr;
  bool is_beside = false;  // other work runs meanwhile, which kernels leave most multiprocessors to
};

// Throws a Failure with CUDA's own words when a call or a launch before it went wrong; OutOfMemory for that one.
void check_cuda(cudaError_t result, const char* what);

}  // namespace batchscope
