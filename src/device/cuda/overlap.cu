// Whether this library's kernels wait for each other (device/cuda/overlap.cuh).
#include "device/cuda/overlap.cuh"

namespace batchscope {
namespace {

__global__ void probe_kernel() { begin_kernel(); }

}  // namespace

// A newer GPU may run kernels that were compiled for an older one, without the instructions.
bool kernels_overlap() {
  static const bool do_overlap = [] {
    cudaFuncAttributes attributes{};
    check_cuda(cudaFuncGetAttributes(&attributes, probe_kernel), "asking about kernels");
    return attributes.binaryVersion >= 90 && attributes.ptxVersion >= 90;
  }();
  return do_overlap;
}

}  // namespace batchscope
