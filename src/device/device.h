// A device runs ops on tensors of its own memory. What it is (CPU worker, planning device, GPU) stays behind this.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <typeindex>
#include <utility>
#include <vector>

#include "tensor/arena.h"
#include "tensor/tensor.h"

namespace batchscope {

// What an op costs: arithmetic, and bytes that must cross the memory at least once.
struct Work {
  std::string_view op;
  double flop = 0;
  std::int64_t bytes = 0;
};

class Device {
 public:
  Device(std::string name, const ArenaBacking& backing) : name_(std::move(name)), arena_(name_, backing) {}
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const std::string& name() const { return name_; }
  Arena& arena() { return arena_; }

  // Runs an op (a struct of its arguments, see src/ops); which code that is depends on the device's kernels.
  template <class Op>
  void launch(const Work& work, const Op& op) {
    run(work, typeid(Op), &op);
  }

  // How many rows of a weight [rows, columns] this device's GEMM wants in a panel (Tensor::panel); 0: none. Where a weight
  // is cut into parts, `rows` is what divides all of them.
  virtual std::int64_t weight_panel(DType, std::int64_t /*rows*/, std::int64_t /*columns*/) const { return 0; }

  // Host to device, converting to the tensor's dtype; shapes are equal.
  virtual void upload(const HostMatrix& from, const Tensor& to) = 0;
  // Device to host: every element as a float, row by row.
  virtual std::vector<float> download(const Tensor& from) = 0;

  void upload(std::span<const std::int32_t> values, const Tensor& to) {
    const auto count = static_cast<std::int64_t>(values.size());
    upload(HostMatrix{reinterpret_cast<const std::byte*>(values.data()), DType::i32, 1, count, count}, to);
  }

 private:
  virtual void run(const Work& work, std::type_index op, const void* arguments) = 0;

  std::string name_;
  Arena arena_;
};

}  // namespace batchscope
