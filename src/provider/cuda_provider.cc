// GPUs without the library that computes on them: plans, and how the library is found and loaded.
#include "provider/cuda_provider.h"

#include <optional>
#include <span>
#include <string_view>

#include "base/cuda_files.h"
#include "base/error.h"
#include "base/shared_library.h"
#include "comm/peer_communicator.h"
#include "ops/cuda_workspaces.h"
#include "provider/cuda_devices.h"
#include "provider/planned_devices.h"

namespace batchscope {
namespace {

struct Library {
  CheckCudaDevices check = nullptr;
  OpenCudaDevices open = nullptr;
};

// What our library needs of a CUDA toolkit, loaded from wherever it lies: the loader then takes that one.
void load_toolkit() {
  for (const std::string_view name : {"libcublasLt.so.13", "libcublasLt.so.12"}) try {
      SharedLibrary::first_of(cuda_files(std::span(&name, 1)), SharedLibrary::Symbols::global);
    } catch (const Failure&) {
      // Of another release than ours is built for; if it is not, loading ours says so.
    }
}

// Throws Failure: what is missing, and what to do.
Library load_library() {
  const auto path = own_library(cuda_library_file);
  if (path.empty())
    throw Failure("this build has no {}, which computes on GPUs: ./build.sh --cuda makes it", cuda_library_file);
  load_toolkit();
  std::optional<SharedLibrary> file;
  try {
    file.emplace(path.string());
  } catch (const Failure& failure) {
    throw Failure("{} does not load: {}; install CUDA's libraries (pip install nvidia-cublas) or let CUDA_HOME say where "
                  "they are",
                  cuda_library_file, failure.what());
  }
  Library library;
  file->resolve(check_cuda_devices_name, library.check);
  file->resolve(open_cuda_devices_name, library.open);
  if (library.check == nullptr || library.open == nullptr)
    throw Failure("{} belongs to another build; install both together", path.string());
  return library;
}

const Library& loaded_library() {
  static const Library library = load_library();
  return library;
}

const Library& library_for(const DeviceUse& use) {
  try {
    return loaded_library();
  } catch (const Failure& failure) {
    throw InputError("--device {}: {}; cpu:N needs none of it", to_string(use.device), failure.what());
  }
}

}  // namespace

void load_cuda_library() { loaded_library(); }

void CudaProvider::check(const DeviceUse& use, const Precision& precision) {
  if (precision.weights != precision.compute && precision.weights != DType::fp8)
    throw InputError("--weights-dtype {}: cuda devices keep weights in --dtype {} or fp8; leave it out",
                     name_of(precision.weights), name_of(precision.compute));
  if (precision.kv != precision.compute)
    throw InputError("--kv-dtype {}: cuda devices keep the KV cache in --dtype {}; leave it out", name_of(precision.kv),
                     name_of(precision.compute));
  library_for(use).check(use);
}

std::unique_ptr<DeviceSet> CudaProvider::open(const DeviceUse& use, World& world) {
  return std::unique_ptr<DeviceSet>(library_for(use).open(use, world));
}

std::unique_ptr<DeviceSet> CudaProvider::plan(const DeviceUse& use) {
  return std::make_unique<PlannedDevices>(
      DeviceTraits{.does_two_things = true, .workspace_bytes = cuda_workspace_bytes},
      [by_processes = use.by_processes](std::vector<int> members, int self, Device& device, Ledger& ledger,
                                        const LinkSpec& link) {
        return std::make_unique<PeerCommunicator>(std::move(members), self, device, ledger, by_processes, link,
                                                  PeerCommunicator::MakeKernels());
      });
}

LinkKind CudaProvider::link_kind(const LinkSpec& link, const DeviceSpec& device) const {
  return cuda_link_kind(link, device);
}

}  // namespace batchscope
