// Tests of ops on a GPU: those of the CPU, on the first GPU there is; without one all of it is skipped.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "device/cuda/cuda_device.h"
#include "ops/cuda_kernels.h"
#include "ops/linear_cuda.h"

namespace batchscope {
namespace {

// One for all tests: each has its own arena behind it, from the start.
struct TestGpu {
  AbortFlag aborted;
  CudaGemm gemm{0};
  CudaPages pages{"cuda:0", 0, {0}};
};

TestGpu& gpu() {
  static TestGpu* const gpu = new TestGpu;
  return *gpu;
}

}  // namespace

std::unique_ptr<Device> open_test_gpu() {
  TestGpu& of = gpu();
  return std::make_unique<CudaDevice>("cuda:0", 0, of.pages, cuda_kernels(), cuda_workspace_bytes, alike_rows, of.gemm,
                                      of.aborted, nullptr, false);
}

}  // namespace batchscope

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  setenv("CUDA_MODULE_LOADING", "EAGER", 0);  // for ranks that share the GPU (provider/cuda_devices.cu)
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::puts("skipped: CUDA finds no GPU here");
    return 77;
  }
  return RUN_ALL_TESTS();
}
