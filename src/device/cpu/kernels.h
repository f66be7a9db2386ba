// The table of a CPU device's kernels, by op; filled by src/ops, so that devices know no op.
#pragma once

#include <cstdint>
#include <typeindex>
#include <unordered_map>

#include "tensor/dtype.h"

namespace batchscope {

// What a kernel may use besides its op's tensors.
struct CpuContext {
  int threads = 1;
};

class CpuKernels {
 public:
  using Kernel = void (*)(const CpuContext&, const void* op);

  // add<RmsNorm, run_rms_norm>() for `void run_rms_norm(const CpuContext&, const RmsNorm&)`.
  template <class Op, void (*function)(const CpuContext&, const Op&)>
  void add() {
    kernels_[typeid(Op)] = [](const CpuContext& context, const void* op) {
      function(context, *static_cast<const Op*>(op));
    };
  }
  // Device::weight_panel of the GEMM among them.
  std::int64_t (*weight_panel)(DType dtype, std::int64_t rows, std::int64_t columns) =
      [](DType, std::int64_t, std::int64_t) { return std::int64_t{0}; };

  Kernel find(std::type_index op) const {
    const auto at = kernels_.find(op);
    return at == kernels_.end() ? nullptr : at->second;
  }

 private:
  std::unordered_map<std::type_index, Kernel> kernels_;
};

}  // namespace batchscope
