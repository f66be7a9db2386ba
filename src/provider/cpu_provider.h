// Virtual devices on the host's CPUs: ranks are threads or processes, links count and can be paced.
#pragma once

#include "provider/device_provider.h"

namespace batchscope {

class CpuProvider : public DeviceProvider {
 public:
  void check(const DeviceUse& use, const Precision& precision) override;
  std::unique_ptr<DeviceSet> open(const DeviceUse& use, World& world) override;
  std::unique_ptr<DeviceSet> plan(const DeviceUse& use) override;
  LinkKind link_kind(const LinkSpec&, const DeviceSpec&) const override { return LinkKind::virtual_link; }
  bool is_virtual() const override { return true; }
  bool has_graphs() const override { return false; }
};

}  // namespace batchscope
