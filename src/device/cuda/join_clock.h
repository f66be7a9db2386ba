// How long a GPU's work waits for what is done beside it (Device::join).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace batchscope {

// On the device: when the last wait began, and how long all of them took, ns.
struct JoinClock {
  std::uint64_t began, waited;
};

// Enqueued before and behind a wait.
void begin_join(JoinClock* clock, cudaStream_t stream);
void end_join(JoinClock* clock, cudaStream_t stream);

}  // namespace batchscope
