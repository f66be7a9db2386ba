// The parts of CUDA's driver API and of NCCL that known loads need, declared by ourselves: both libraries are loaded at
// run time, and nothing of them is needed to build. Names, numbers and layouts are those of their binary interfaces as
// the reference manuals have them; api_test.cc compares them with cuda.h and nccl.h where those are installed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace batchscope::cuda {

using Device = int;  // CUDA's own ordinal
using Pointer = unsigned long long;
using Context = struct ContextHandle*;
using Stream = struct StreamHandle*;
using Module = struct ModuleHandle*;
using Kernel = struct KernelHandle*;

enum Return : int {
  success = 0,
  invalid_value = 1,
  out_of_memory = 2,
  no_device = 100,
  peer_access_already_enabled = 704,
  // Ours: the library lacks the function.
  function_not_found = -1,
};

enum Attribute : int { attribute_multiprocessors = 16 };
constexpr unsigned host_memory_portable = 1;  // pinned for every context
constexpr unsigned stream_non_blocking = 1;   // waits for no other stream

struct Uuid {
  char bytes[16];
};

// X(name, parameters)
#define BATCHSCOPE_CUDA_FUNCTIONS(X)                                                                        \
  X(cuInit, (unsigned flags))                                                                               \
  X(cuGetErrorString, (Return result, const char** text))                                                   \
  X(cuDriverGetVersion, (int* version))                                                                     \
  X(cuDeviceGetCount, (int* count))                                                                         \
  X(cuDeviceGet, (Device * device, int ordinal))                                                            \
  X(cuDeviceGetUuid_v2, (Uuid * uuid, Device device))                                                       \
  X(cuDeviceGetAttribute, (int* value, Attribute attribute, Device device))                                 \
  X(cuDeviceCanAccessPeer, (int* can, Device device, Device peer))                                          \
  X(cuDevicePrimaryCtxRetain, (Context * context, Device device))                                           \
  X(cuDevicePrimaryCtxRelease_v2, (Device device))                                                          \
  X(cuCtxSetCurrent, (Context context))                                                                     \
  X(cuCtxEnablePeerAccess, (Context peer, unsigned flags))                                                  \
  X(cuMemAlloc_v2, (Pointer * pointer, std::size_t bytes))                                                  \
  X(cuMemFree_v2, (Pointer pointer))                                                                        \
  X(cuMemHostAlloc, (void** pointer, std::size_t bytes, unsigned flags))                                    \
  X(cuMemFreeHost, (void* pointer))                                                                         \
  X(cuMemcpyHtoDAsync_v2, (Pointer to, const void* from, std::size_t bytes, Stream stream))                 \
  X(cuMemcpyDtoHAsync_v2, (void* to, Pointer from, std::size_t bytes, Stream stream))                       \
  X(cuMemcpyPeerAsync,                                                                                      \
    (Pointer to, Context to_context, Pointer from, Context from_context, std::size_t bytes, Stream stream)) \
  X(cuMemsetD8Async, (Pointer to, unsigned char value, std::size_t bytes, Stream stream))                   \
  X(cuStreamCreate, (Stream * stream, unsigned flags))                                                      \
  X(cuStreamSynchronize, (Stream stream))                                                                   \
  X(cuStreamDestroy_v2, (Stream stream))                                                                    \
  X(cuModuleLoadData, (Module * module, const void* image))                                                 \
  X(cuModuleGetFunction, (Kernel * kernel, Module module, const char* name))                                \
  X(cuLaunchKernel,                                                                                         \
    (Kernel kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,  \
     unsigned block_z, unsigned shared_bytes, Stream stream, void** parameters, void** extra))

namespace nccl {

using Communicator = struct CommunicatorHandle*;

enum Return : int {
  success = 0,
  // Ours: the library lacks the function.
  function_not_found = -1,
};
enum DataType : int { float32 = 7 };
enum Reduction : int { sum = 0 };

#define BATCHSCOPE_NCCL_FUNCTIONS(X)                                                                   \
  X(ncclGetVersion, (int* version))                                                                    \
  X(ncclCommInitAll, (Communicator * communicators, int count, const Device* devices))                 \
  X(ncclCommDestroy, (Communicator communicator))                                                      \
  X(ncclGroupStart, ())                                                                                \
  X(ncclGroupEnd, ())                                                                                  \
  X(ncclAllReduce, (const void* from, void* to, std::size_t count, DataType type, Reduction reduction, \
                    Communicator communicator, Stream stream))

}  // namespace nccl
}  // namespace batchscope::cuda
