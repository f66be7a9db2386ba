// Pages of a GPU by CUDA's virtual memory management.
#include <cuda.h>  // types alone: functions come from the driver that is there
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "device/cuda/context.h"
#include "device/cuda/pages.h"

namespace batchscope {
namespace {

constexpr std::int64_t chunk_bytes = std::int64_t{64} << 20;  // a multiple of every GPU's granularity

// The driver's function of that name: found by the runtime, so that nothing links to the driver.
template <class Function>
Function* driver_function(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  check_cuda(cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found), name);
  if (function == nullptr) throw Failure("the NVIDIA driver has no {}; a newer one is needed", name);
  return reinterpret_cast<Function*>(function);
}

#define DRIVER(name) (*driver_function<decltype(name)>(#name))

void check_driver(CUresult result, const char* what) {
  if (result == CUDA_SUCCESS) return;
  const char* text = nullptr;
  DRIVER(cuGetErrorString)(result, &text);
  throw Failure("{}: {}", what, text != nullptr ? text : "unknown error");
}

CUmemAllocationProp properties_of(int device) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  return properties;
}

}  // namespace

CudaPages::CudaPages(std::string name, int device, std::vector<int> peers)
    : name_(std::move(name)), device_(device), peers_(std::move(peers)) {
  std::size_t free = 0, total = 0;
  check_cuda(cudaSetDevice(device_), "choosing the GPU");
  check_cuda(cudaMemGetInfo(&free, &total), "asking for the GPU's memory");
  bytes_ = static_cast<std::int64_t>(total) / chunk_bytes * chunk_bytes;
  CUdeviceptr address = 0;
  check_driver(DRIVER(cuMemAddressReserve)(&address, static_cast<std::size_t>(bytes_), 0, 0, 0),
               "reserving addresses of the GPU");
  base_ = reinterpret_cast<std::byte*>(address);
}

CudaPages::~CudaPages() {
  try {
    cudaSetDevice(device_);
    cudaDeviceSynchronize();
    trim(0);
    DRIVER(cuMemAddressFree)(reinterpret_cast<CUdeviceptr>(base_), static_cast<std::size_t>(bytes_));
  } catch (const std::exception&) {
    // A lost GPU has nothing to give back.
  }
}

void CudaPages::commit(std::int64_t bytes) {
  while (committed_ < bytes) add_chunk(chunk_bytes);
}

void CudaPages::add_chunk(std::int64_t bytes) {
  const CUmemAllocationProp properties = properties_of(device_);
  CUmemGenericAllocationHandle handle = 0;
  const CUresult created = DRIVER(cuMemCreate)(&handle, static_cast<std::size_t>(bytes), &properties, 0);
  if (created == CUDA_ERROR_OUT_OF_MEMORY) {
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw OutOfMemory(fmt::format(
        "{} is out of memory: {} bytes are free of {}, and {} of the {} that are needed are there; other programs may "
        "use the rest: use a smaller batch or more devices, or end them",
        name_, free, total, committed_, committed_ + bytes));
  }
  check_driver(created, "taking memory of the GPU");
  const auto address = reinterpret_cast<CUdeviceptr>(base_ + committed_);
  check_driver(DRIVER(cuMemMap)(address, static_cast<std::size_t>(bytes), 0, handle, 0), "mapping memory of the GPU");
  std::vector<CUmemAccessDesc> access;
  for (const int peer : peers_)
    access.push_back({{CU_MEM_LOCATION_TYPE_DEVICE, peer}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE});
  check_driver(DRIVER(cuMemSetAccess)(address, static_cast<std::size_t>(bytes), access.data(), access.size()),
               "giving peers access to memory of the GPU");
  chunks_.push_back({handle, bytes});
  committed_ += bytes;
}

void CudaPages::trim(std::int64_t bytes) {
  while (!chunks_.empty() && committed_ - chunks_.back().bytes >= bytes) {
    committed_ -= chunks_.back().bytes;
    DRIVER(cuMemUnmap)(reinterpret_cast<CUdeviceptr>(base_ + committed_), static_cast<std::size_t>(chunks_.back().bytes));
    DRIVER(cuMemRelease)(chunks_.back().handle);
    chunks_.pop_back();
  }
}

}  // namespace batchscope
