// Lists the kinds of devices, and finds the provider of a --device value.
#include "provider/device_provider.h"

#include <algorithm>

#include "base/cpus.h"
#include "base/error.h"
#include "provider/cpu_provider.h"
#include "provider/cuda_provider.h"

namespace batchscope {

DeviceProvider& device_provider(std::string_view kind) {
  static CpuProvider cpu;
  static CudaProvider cuda;
  if (kind == "cpu") return cpu;
  if (kind == "cuda") return cuda;
  throw InputError("--device: there are no {} devices; use cpu or cuda", kind);
}

int threads_of(const DeviceUse& use) {
  return use.threads.value_or(std::max(1, usable_cpus() / std::max(use.cpu_sharers, 1)));
}

}  // namespace batchscope
