// A planning device: hands out addresses, computes nothing, and adds up what the work would cost.
#pragma once

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

class PlanDevice : public Device {
 public:
  explicit PlanDevice(std::string name);

  using Device::upload;
  void upload(const HostMatrix&, const Tensor&) override {}
  std::vector<float> download(const Tensor& from) override {
    return std::vector<float>(static_cast<std::size_t>(from.elements()));
  }

  const BytesByUse& bytes_at_peak() const { return trace_.at_peak(); }
  double flop() const { return flop_; }

 private:
  void run(const Work& work, std::type_index, const void*) override { flop_ += work.flop; }

  MemoryTrace trace_;
  double flop_ = 0;
};

}  // namespace batchscope
