// Known loads on a real GPU, by CUDA's driver API and NCCL.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cuda_driver/library.h"
#include "telemetry/load/load.h"

namespace batchscope {

// For the GPU with that UUID, as NVML writes it. Without CUDA, or where CUDA does not show this GPU, every load is one
// that cannot run, with the reason.
std::unique_ptr<LoadRunner> cuda_loads(const std::string& uuid);

// The same by these libraries. NCCL is loaded when it is first asked for; the loader throws Failure where it cannot.
using NcclLoader = std::function<std::unique_ptr<const cuda::nccl::Library>()>;
std::unique_ptr<LoadRunner> cuda_loads(const std::string& uuid, std::unique_ptr<const cuda::Library> cuda,
                                       NcclLoader load_nccl);

}  // namespace batchscope
