// Loading CUPTI (telemetry/cupti/library.h).
#include "telemetry/cupti/library.h"

#include <cstdlib>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/shared_library.h"

namespace batchscope::cupti {
namespace {

// The first that loads.
std::pair<SharedLibrary, std::string> load_one_of(const std::vector<std::string>& files) {
  std::optional<Failure> first;
  for (const std::string& file : files) try {
      return {SharedLibrary(file), file};
    } catch (const Failure& failure) {
      if (!first) first = failure;
    }
  throw first.value();
}

}  // namespace

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
      return "this GPU or driver does not support PM sampling; it takes Turing or newer";
    case virtualized_device:
    case virtualized_device_privileges:
      return "the virtual machine is not allowed to use the GPU's counters";
    case insufficient_privileges:
      return "permission refused: run as root, or have the administrator set NVreg_RestrictProfilingToAdminUsers=0";
    case legacy_profiler:
    case multiple_subscribers:
      return "another profiler is in this process";
    case function_not_found:
      return "this CUPTI is too old; PM sampling takes CUDA 12.6 or newer";
    case unknown:
      return "CUPTI reports an unknown error";
  }
  return "CUPTI reports an error without a name";
}

std::vector<std::string> usual_files() {
  std::vector<std::string> folders{""};
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* home = std::getenv(variable); home != nullptr)
      for (const char* below : {"/lib64/", "/extras/CUPTI/lib64/"}) folders.push_back(std::string(home) + below);
  for (const char* usual : {"/usr/local/cuda/lib64/", "/usr/local/cuda/extras/CUPTI/lib64/", "/usr/local/cuda/lib/"})
    folders.emplace_back(usual);
  std::vector<std::string> files;
  for (const std::string& folder : folders)
    for (const char* name : {"libcupti.so.13", "libcupti.so.12", "libcupti.so"}) files.push_back(folder + name);
  return files;
}

Library::Library(const std::vector<std::string>& files) {
  const auto [library, file] = load_one_of(files);
  file_ = file;
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
