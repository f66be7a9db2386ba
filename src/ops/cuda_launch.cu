// Limits of shared memory, raised once for each kernel and device.
#include <map>
#include <mutex>
#include <utility>

#include "ops/cuda_launch.cuh"

namespace batchscope {

void allow_shared_memory(const void* kernel, std::int64_t bytes) {
  static std::mutex mutex;
  static std::map<std::pair<const void*, int>, std::int64_t> allowed;  // by kernel and device
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  const std::lock_guard lock(mutex);
  std::int64_t& most = allowed[{kernel, device}];
  if (most >= bytes) return;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
             "cudaFuncSetAttribute");
  most = bytes;
}

}  // namespace batchscope
