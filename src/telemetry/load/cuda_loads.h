// Known loads on a real GPU, by CUDA's driver API and NCCL.
#pragma once

#include <memory>
#include <string>

#include "telemetry/load/load.h"

namespace batchscope {

// For the GPU with that UUID, as NVML writes it. Without CUDA, or where CUDA does not show this GPU, every load is one
// that cannot run, with the reason.
std::unique_ptr<LoadRunner> cuda_loads(const std::string& uuid);

}  // namespace batchscope
