// A planning device: hands out addresses, computes nothing, and adds up what the work would cost.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "device/device.h"

namespace batchscope {

// Live buffers by use, and how they stood when most were live. Its own sum, apart from the arena's.
class MemoryTrace : public AllocationObserver {
 public:
  void allocated(std::string_view what, MemoryUse use, std::int64_t bytes) override;
  void released(std::int64_t buffers) override;
  const BytesByUse& at_peak() const { return at_peak_; }

 private:
  struct Buffer {
    MemoryUse use;
    std::int64_t bytes;
  };
  std::vector<Buffer> live_;
  BytesByUse now_{}, at_peak_{};
  std::int64_t total_ = 0, peak_ = 0;
};

// What a planning device must know of the devices that it stands for; as Device has them.
struct DeviceTraits {
  bool does_two_things = false;
  std::function<std::int64_t(std::type_index op, const void* arguments)> workspace_bytes = [](auto, auto) { return 0; };
  std::function<std::int64_t(DType dtype, std::int64_t rows, std::int64_t columns)> weight_panel =
      [](auto, auto, auto) { return 0; };
};

class PlanDevice : public Device {
 public:
  explicit PlanDevice(std::string name, DeviceTraits traits = {});

  bool does_two_things() const override { return traits_.does_two_things; }
  std::int64_t weight_panel(DType dtype, std::int64_t rows, std::int64_t columns) const override {
    return traits_.weight_panel(dtype, rows, columns);
  }
  void copy_in(const std::byte*, const Tensor&) override {}
  void copy_out(const Tensor& from, std::byte* to) override { std::fill_n(to, from.bytes(), std::byte{0}); }
  void upload(const HostMatrix&, const Tensor&) override {}
  std::vector<float> download(const Tensor& from) override {
    return std::vector<float>(static_cast<std::size_t>(from.elements()));
  }

  const BytesByUse& bytes_at_peak() const { return memory_.at_peak(); }
  double flop() const { return flop_; }

 private:
  std::int64_t workspace_bytes(std::type_index op, const void* arguments) const override {
    return traits_.workspace_bytes(op, arguments);
  }
  void run(const Work& work, std::type_index, const void*, std::byte*) override {
    flop_ += work.flop;
  }

  DeviceTraits traits_;
  MemoryTrace memory_;
  double flop_ = 0;
};

}  // namespace batchscope
