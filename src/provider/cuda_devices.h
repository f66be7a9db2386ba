// GPUs, one a rank or shared by several; ranks are threads or processes of one host. Only the CUDA library has them;
// the program gets them by the function below (provider/cuda_provider.cc).
#pragma once

#include "provider/device_provider.h"

namespace batchscope {

// Of the bytes that ranks on these GPUs exchange. Ranks that share a GPU exchange most in its memory, where no link
// counts them.
inline LinkKind cuda_link_kind(const LinkSpec& link, const DeviceSpec& device) {
  if (link.kind == LinkKind::pcie) return LinkKind::pcie;
  return device.sharers() > 1 ? LinkKind::virtual_link : LinkKind::nvlink;
}

// The library's only entries. They are of the same build as the program.
using CheckCudaDevices = void (*)(const DeviceUse& use);
using OpenCudaDevices = DeviceSet* (*)(const DeviceUse& use, World& world);
inline constexpr const char* check_cuda_devices_name = "batchscope_check_cuda_devices";
inline constexpr const char* open_cuda_devices_name = "batchscope_open_cuda_devices";
inline constexpr const char* cuda_library_file = "libbatchscope_cuda.so";

}  // namespace batchscope
