// Staging areas are files without a name, or CUDA's IPC handles (comm/cuda/staging.h).
#include "comm/cuda/staging.h"

#include <cuda_runtime.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "device/cuda/context.h"

namespace batchscope {

HostStaging::HostStaging() : file_(memfd_create("batchscope-staging", MFD_CLOEXEC)) {
  if (file_ < 0 || ftruncate(file_, sizeof(StagingArea)) != 0)
    throw Failure("taking memory for staging: {}", std::strerror(errno));
  map();
}

HostStaging::HostStaging(const std::string& name) : file_(open(name.c_str(), O_RDWR | O_CLOEXEC)) {
  if (file_ < 0)
    throw Failure("the staging memory of another rank, {}, cannot be opened: {}; processes of one host need to see each "
                  "other's /proc",
                  name, std::strerror(errno));
  map();
}

void HostStaging::map() {
  void* memory = mmap(nullptr, sizeof(StagingArea), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file_, 0);
  if (memory == MAP_FAILED) throw Failure("mapping memory for staging: {}", std::strerror(errno));
  area_ = static_cast<StagingArea*>(memory);
  check_cuda(cudaHostRegister(memory, sizeof(StagingArea), cudaHostRegisterPortable | cudaHostRegisterMapped),
             "pinning memory for staging");
}

HostStaging::~HostStaging() {
  if (area_ != nullptr) {
    cudaHostUnregister(area_);
    munmap(area_, sizeof(StagingArea));
  }
  if (file_ >= 0) close(file_);
}

std::string HostStaging::name() const { return fmt::format("/proc/{}/fd/{}", getpid(), file_); }

DeviceStaging::DeviceStaging(int device) : device_(device), is_own_(true) {
  check_cuda(cudaSetDevice(device), "choosing the GPU");
  void* memory = nullptr;
  check_cuda(cudaMalloc(&memory, sizeof(StagingArea)), "taking memory for staging");
  area_ = static_cast<StagingArea*>(memory);
}

DeviceStaging::DeviceStaging(int device, const std::string& name) : device_(device), is_own_(false) {
  cudaIpcMemHandle_t handle;
  if (name.size() != sizeof handle) throw Failure("a handle of staging memory has {} bytes", name.size());
  std::memcpy(&handle, name.data(), sizeof handle);
  check_cuda(cudaSetDevice(device), "choosing the GPU");
  void* memory = nullptr;
  check_cuda(cudaIpcOpenMemHandle(&memory, handle, cudaIpcMemLazyEnablePeerAccess),
             "reaching another rank's GPU memory (--link pcie goes through the host's)");
  area_ = static_cast<StagingArea*>(memory);
}

DeviceStaging::~DeviceStaging() {
  cudaSetDevice(device_);
  if (is_own_)
    cudaFree(area_);
  else
    cudaIpcCloseMemHandle(area_);
}

std::string DeviceStaging::name() const {
  cudaIpcMemHandle_t handle;
  check_cuda(cudaSetDevice(device_), "choosing the GPU");
  check_cuda(cudaIpcGetMemHandle(&handle, area_), "sharing memory for staging");
  return {reinterpret_cast<const char*>(&handle), sizeof handle};
}

}  // namespace batchscope
