// Loads libcuda and libnccl when they are first needed.
#include "cuda_driver/library.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/shared_library.h"

namespace batchscope::cuda {
Library::Library(const std::string& file) {
  const SharedLibrary library(file);
#define BATCHSCOPE_CUDA_RESOLVE(name, parameters) library.resolve(#name, functions_.name);
  BATCHSCOPE_CUDA_FUNCTIONS(BATCHSCOPE_CUDA_RESOLVE)
#undef BATCHSCOPE_CUDA_RESOLVE
  check(functions_.cuInit(0), "cuInit");
}

Library::Library(const Functions& functions) : functions_(functions) { check(functions_.cuInit(0), "cuInit"); }

void Library::check(Return result, const char* what) const {
  if (result == success) return;
  const char* text = nullptr;
  functions_.cuGetErrorString(result, &text);
  if (result == function_not_found) text = "this driver lacks it";
  throw Failure("{}: {}", what, text != nullptr ? text : fmt::format("error {}", static_cast<int>(result)));
}

std::vector<Gpu> Library::gpus() const {
  int count = 0;
  check(functions_.cuDeviceGetCount(&count), "cuDeviceGetCount");
  std::vector<Gpu> gpus;
  for (int i = 0; i < count; ++i) {
    Gpu gpu;
    Uuid uuid{};
    check(functions_.cuDeviceGet(&gpu.device, i), "cuDeviceGet");
    check(functions_.cuDeviceGetUuid_v2(&uuid, gpu.device), "cuDeviceGetUuid_v2");
    check(functions_.cuDeviceGetAttribute(&gpu.multiprocessors, attribute_multiprocessors, gpu.device),
          "cuDeviceGetAttribute");
    gpu.uuid = text_of(uuid);
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

std::string text_of(const Uuid& uuid) {
  std::string text = "GPU";
  for (int i = 0; i < 16; ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

namespace nccl {

Library::Library(const std::string& file) {
  const SharedLibrary library(file);
#define BATCHSCOPE_NCCL_RESOLVE(name, parameters) library.resolve(#name, functions_.name);
  BATCHSCOPE_NCCL_FUNCTIONS(BATCHSCOPE_NCCL_RESOLVE)
#undef BATCHSCOPE_NCCL_RESOLVE
  library.resolve("ncclGetErrorString", functions_.ncclGetErrorString);
}

void Library::check(Return result, const char* what) const {
  if (result == success) return;
  throw Failure("{}: {}", what,
                result == function_not_found ? "this NCCL lacks it" : functions_.ncclGetErrorString(result));
}

std::optional<std::string> Library::version() const {
  int version = 0;
  if (functions_.ncclGetVersion(&version) != success) return std::nullopt;
  // From 2.9 on 10000 is a major version; before it was 1000.
  const int major = version < 10000 ? version / 1000 : version / 10000;
  const int rest = version < 10000 ? version % 1000 : version % 10000;
  return fmt::format("{}.{}.{}", major, rest / 100, rest % 100);
}

}  // namespace nccl
}  // namespace batchscope::cuda
