// Loading CUPTI (telemetry/cupti/library.h).
#include "telemetry/cupti/library.h"

#include <array>
#include <string_view>

#include "base/cuda_files.h"
#include "base/error.h"
#include "base/shared_library.h"

namespace batchscope::cupti {
const char* reason_of(Return result) {
  switch (result) {
    case success:
      return "CUPTI did it";
    case invalid_parameter:
      return "CUPTI does not know a parameter";
    case out_of_memory:
      return "CUPTI is out of memory";
    case invalid_metric_name:
      return "this GPU lacks the metric";
    case hardware_busy:
      return "another profiler uses the GPU's counters (ncu, nsys, DCGM)";
    case not_supported:
      return "this GPU or driver does not support PM sampling; it needs Turing or newer";
    case virtualized_device:
    case virtualized_device_privileges:
      return "the virtual machine is not allowed to use the GPU's counters";
    case insufficient_privileges:
      return "permission refused: run as root, or have the administrator set NVreg_RestrictProfilingToAdminUsers=0";
    case legacy_profiler:
    case multiple_subscribers:
      return "another profiler is in this process";
    case function_not_found:
      return "this CUPTI is too old; PM sampling needs CUDA 12.6 or newer";
    case unknown:
      return "CUPTI reports an unknown error";
  }
  return "CUPTI reports an error without a name";
}

std::vector<std::string> usual_files() {
  constexpr std::array<std::string_view, 3> names{"libcupti.so.13", "libcupti.so.12", "libcupti.so"};
  return cuda_files(names);
}

Library::Library(const std::vector<std::string>& files) {
  const SharedLibrary library = SharedLibrary::first_of(files);
  file_ = library.file();
#define BATCHSCOPE_CUPTI_RESOLVE(name, Structure) library.resolve(#name, functions_.name);
  BATCHSCOPE_CUPTI_FUNCTIONS(BATCHSCOPE_CUPTI_RESOLVE)
#undef BATCHSCOPE_CUPTI_RESOLVE
  Header initialize;
  call(&Functions::cuptiProfilerInitialize, initialize, "cuptiProfilerInitialize");
}

void Library::check(Return result, const char* what) {
  if (result != success) throw Failure("{}: {}", what, reason_of(result));
}

}  // namespace batchscope::cupti
