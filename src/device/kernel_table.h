// A table of kernels by op, for one kind of device; filled by src/ops, so that devices know no op.
#pragma once

#include <cstdint>
#include <typeindex>
#include <unordered_map>

namespace batchscope {

// `Context`: what a kernel may use besides its op's tensors (a CPU's threads, a GPU's stream).
template <class Context>
class KernelTable {
 public:
  struct Kernel {
    void (*run)(const Context&, const void* op) = nullptr;
    std::int64_t (*workspace)(const Context&, const void* op) = nullptr;  // null: none
    void (*prepare)(const Context&, const void* op) = nullptr;            // of Device::prepare(); null: nothing
  };

  // add<RmsNorm, rms_norm_cpu>() for `void rms_norm_cpu(const CpuContext&, const RmsNorm&)`.
  template <class Op, void (*function)(const Context&, const Op&)>
  void add() {
    kernels_[typeid(Op)].run = call<Op, function>;
  }
  template <class Op, void (*function)(const Context&, const Op&)>
  void add_preparation() {
    kernels_[typeid(Op)].prepare = call<Op, function>;
  }
  // Bytes that the op's kernel wants at Context::workspace.
  template <class Op, std::int64_t (*function)(const Context&, const Op&)>
  void add_workspace() {
    kernels_[typeid(Op)].workspace = [](const Context& context, const void* op) {
      return function(context, *static_cast<const Op*>(op));
    };
  }

  // Null where there is none.
  const Kernel* find(std::type_index op) const {
    const auto at = kernels_.find(op);
    return at == kernels_.end() ? nullptr : &at->second;
  }

 private:
  template <class Op, void (*function)(const Context&, const Op&)>
  static void call(const Context& context, const void* op) {
    function(context, *static_cast<const Op*>(op));
  }

  std::unordered_map<std::type_index, Kernel> kernels_;
};

}  // namespace batchscope
