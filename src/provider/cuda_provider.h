// NVIDIA GPUs: what the program itself knows of them. Their devices are in a library of ours that is loaded when they are
// opened, so that the program starts, and plans, where there are none.
#pragma once

#include "provider/device_provider.h"

namespace batchscope {

class CudaProvider : public DeviceProvider {
 public:
  void check(const DeviceUse& use, const Precision& precision) override;
  std::unique_ptr<DeviceSet> open(const DeviceUse& use, World& world) override;
  std::unique_ptr<DeviceSet> plan(const DeviceUse& use) override;
  LinkKind link_kind(const LinkSpec& link, const DeviceSpec& device) const override;
  bool is_virtual() const override { return false; }
  bool has_graphs() const override { return true; }
};

// Loads that library; throws Failure that says what is missing, and what to do.
void load_cuda_library();

}  // namespace batchscope
