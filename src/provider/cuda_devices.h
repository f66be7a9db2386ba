// GPUs of this process, one a rank, that reach each other's memory. Only the CUDA library has them; the program gets them
// by the function below (provider/cuda_provider.cc).
#pragma once

#include "provider/device_provider.h"

namespace batchscope {

// The library's only entries. They are of the same build as the program.
using CheckCudaDevices = void (*)(const DeviceUse& use);
using OpenCudaDevices = DeviceSet* (*)(const DeviceUse& use, World& world);
inline constexpr const char* check_cuda_devices_name = "batchscope_check_cuda_devices";
inline constexpr const char* open_cuda_devices_name = "batchscope_open_cuda_devices";
inline constexpr const char* cuda_library_file = "libbatchscope_cuda.so";

}  // namespace batchscope
