// By the GPU's own clock (device/cuda/join_clock.h).
#include "device/cuda/join_clock.h"

#include "device/cuda/context.h"
#include "device/cuda/device_clock.cuh"

namespace batchscope {
namespace {

__global__ void begin_join_kernel(JoinClock* clock) { clock->began = now_ns(); }
__global__ void end_join_kernel(JoinClock* clock) { clock->waited += now_ns() - clock->began; }

}  // namespace

void begin_join(JoinClock* clock, cudaStream_t stream) {
  begin_join_kernel<<<1, 1, 0, stream>>>(clock);
  check_cuda(cudaGetLastError(), "joining");
}

void end_join(JoinClock* clock, cudaStream_t stream) {
  end_join_kernel<<<1, 1, 0, stream>>>(clock);
  check_cuda(cudaGetLastError(), "joining");
}

}  // namespace batchscope
