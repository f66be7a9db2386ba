// Our declarations of CUDA's driver API and NCCL against the real headers, where those are installed; and the kernels
// against the real assembler.
#include "cuda_driver/api.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <type_traits>

#include "base/error.h"
#include "base/file.h"
#include "cuda_driver/kernels.h"
#include "cuda_driver/library.h"
#include "store/test_folder.h"

#ifdef BATCHSCOPE_CUDA_H
#include <cuda.h>
#endif
#ifdef BATCHSCOPE_NCCL_H
#include <nccl.h>
#endif

namespace batchscope::cuda {
namespace {

// Alike in what a call's registers and stack hold: as many parameters, each a pointer or of the same size.
template <class Ours, class Theirs>
[[maybe_unused]] constexpr bool alike_value = std::is_pointer_v<Ours> == std::is_pointer_v<Theirs> &&
                                              sizeof(Ours) == sizeof(Theirs);

template <class Ours, class Theirs>
[[maybe_unused]] constexpr bool alike = false;
template <class OurResult, class TheirResult, class... Ours, class... Theirs>
requires(sizeof...(Ours) == sizeof...(Theirs)) constexpr bool alike<OurResult(Ours...), TheirResult(Theirs...)> =
    alike_value<OurResult, TheirResult> && (alike_value<Ours, Theirs> && ...);

TEST(CudaApi, IsAsTheRealHeaderHasIt) {
#ifndef BATCHSCOPE_CUDA_H
  GTEST_SKIP() << "needs cuda.h when CMake runs; set BATCHSCOPE_CUDA_HEADERS";
#else
#define BATCHSCOPE_CUDA_COMPARE(name, parameters)                                          \
  EXPECT_TRUE((alike<std::remove_pointer_t<decltype(Functions::name)>, decltype(::name)>)) \
      << #name << " is declared otherwise in cuda.h";
  BATCHSCOPE_CUDA_FUNCTIONS(BATCHSCOPE_CUDA_COMPARE)
#undef BATCHSCOPE_CUDA_COMPARE
  EXPECT_EQ(sizeof(Uuid), sizeof(CUuuid));
  EXPECT_EQ(static_cast<int>(success), CUDA_SUCCESS);
  EXPECT_EQ(static_cast<int>(invalid_value), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(static_cast<int>(out_of_memory), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(static_cast<int>(no_device), CUDA_ERROR_NO_DEVICE);
  EXPECT_EQ(static_cast<int>(peer_access_already_enabled), CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
  EXPECT_EQ(static_cast<int>(attribute_multiprocessors), CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  EXPECT_EQ(host_memory_portable, CU_MEMHOSTALLOC_PORTABLE);
  EXPECT_EQ(stream_non_blocking, CU_STREAM_NON_BLOCKING);
#endif
}

TEST(NcclApi, IsAsTheRealHeaderHasIt) {
#ifndef BATCHSCOPE_NCCL_H
  GTEST_SKIP() << "needs nccl.h when CMake runs; set BATCHSCOPE_NCCL_HEADERS";
#else
#define BATCHSCOPE_NCCL_COMPARE(name, parameters)                                                \
  EXPECT_TRUE((alike<std::remove_pointer_t<decltype(nccl::Functions::name)>, decltype(::name)>)) \
      << #name << " is declared otherwise in nccl.h";
  BATCHSCOPE_NCCL_FUNCTIONS(BATCHSCOPE_NCCL_COMPARE)
#undef BATCHSCOPE_NCCL_COMPARE
  EXPECT_EQ(static_cast<int>(nccl::success), ncclSuccess);
  EXPECT_EQ(static_cast<int>(nccl::float32), ncclFloat32);
  EXPECT_EQ(static_cast<int>(nccl::sum), ncclSum);
#endif
}

TEST(CudaApi, UuidIsWrittenAsNvmlDoes) {
  const Uuid uuid = {{0x01, 0x23, 0x45, 0x67, static_cast<char>(0x89), static_cast<char>(0xab), static_cast<char>(0xcd),
                      static_cast<char>(0xef), 0x01, 0x23, 0x45, 0x67, static_cast<char>(0x89), static_cast<char>(0xab),
                      static_cast<char>(0xcd), static_cast<char>(0xef)}};
  EXPECT_EQ(text_of(uuid), "GPU-01234567-89ab-cdef-0123-456789abcdef");
}

TEST(CudaLibrary, AMissingOneSaysSo) {
  EXPECT_THROW(Library("no_such_libcuda.so.1"), Failure);
  EXPECT_THROW(nccl::Library("no_such_libnccl.so.2"), Failure);
  EXPECT_THROW(Library("libm.so.6"), Failure);  // loads, but has no cuInit
  EXPECT_EQ(nccl::Library("libm.so.6").version(), std::nullopt);
}

TEST(CudaKernels, AreAssembled) {
  const char* ptxas = "/usr/local/cuda/bin/ptxas";
  if (!std::filesystem::exists(ptxas)) GTEST_SKIP() << "needs " << ptxas;
  const TestFolder folder;
  const auto source = folder.path() / "load.ptx";
  write_file_atomically(source, load_kernels);
  for (const char* gpu : {"sm_80", "sm_90", "sm_100"})
    EXPECT_EQ(
        std::system(fmt::format("{} -arch={} {} -o {}.cubin", ptxas, gpu, source.string(), source.string()).c_str()), 0)
        << gpu;
}

}  // namespace
}  // namespace batchscope::cuda
