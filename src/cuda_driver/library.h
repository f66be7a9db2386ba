// CUDA's driver and NCCL, loaded at run time: their functions, and their errors as Failures.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cuda_driver/api.h"

namespace batchscope::cuda {

constexpr const char* default_file = "libcuda.so.1";

// What a function that the library lacks is replaced by.
template <class Return, class... Arguments>
Return absent(Arguments...) {
  return Return::function_not_found;
}

// The functions, each under its own name; callable also when the library lacks them.
struct Functions {
#define BATCHSCOPE_CUDA_MEMBER(name, parameters) Return(*name) parameters = absent<Return>;
  BATCHSCOPE_CUDA_FUNCTIONS(BATCHSCOPE_CUDA_MEMBER)
#undef BATCHSCOPE_CUDA_MEMBER
};

// A GPU as CUDA lists it.
struct Gpu {
  Device device = 0;
  std::string uuid{};  // "GPU-…", as NVML writes it
  int multiprocessors = 0;
};

class Library {
 public:
  // Loads it and calls cuInit. Throws Failure with the loader's or the driver's words. Never unloaded.
  explicit Library(const std::string& file = default_file);
  // Somebody else's functions.
  explicit Library(const Functions& functions);

  const Functions* operator->() const { return &functions_; }

  // Throws Failure "WHAT: the driver's words" unless the call succeeded.
  void check(Return result, const char* what) const;
  // CUDA's GPUs in CUDA's order; those that CUDA_VISIBLE_DEVICES hides are not among them.
  std::vector<Gpu> gpus() const;

 private:
  Functions functions_;
};

// "GPU-01234567-89ab-cdef-0123-456789abcdef".
std::string text_of(const Uuid& uuid);

namespace nccl {

constexpr const char* default_file = "libnccl.so.2";

struct Functions {
#define BATCHSCOPE_NCCL_MEMBER(name, parameters) Return(*name) parameters = absent<Return>;
  BATCHSCOPE_NCCL_FUNCTIONS(BATCHSCOPE_NCCL_MEMBER)
#undef BATCHSCOPE_NCCL_MEMBER
  // Apart, since it is the only one that returns something else.
  const char* (*ncclGetErrorString)(Return result) = [](Return) { return "this NCCL lacks a function"; };
};

class Library {
 public:
  // Throws Failure with the loader's words. Never unloaded.
  explicit Library(const std::string& file = default_file);
  explicit Library(const Functions& functions) : functions_(functions) {}

  const Functions* operator->() const { return &functions_; }
  void check(Return result, const char* what) const;
  // "2.28.9"; absent when it does not say.
  std::optional<std::string> version() const;

 private:
  Functions functions_;
};

}  // namespace nccl
}  // namespace batchscope::cuda
