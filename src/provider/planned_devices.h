// Planning devices of any kind.
#pragma once

#include <functional>

#include "device/plan/plan_device.h"
#include "provider/device_provider.h"

namespace batchscope {

class PlannedDevices : public DeviceSet {
 public:
  using MakeCommunicator = std::function<std::unique_ptr<Communicator>(
      std::vector<int> members, int self, Device& device, Ledger& ledger, const LinkSpec& link)>;
  PlannedDevices(DeviceTraits traits, MakeCommunicator make_communicator)
      : traits_(std::move(traits)), make_communicator_(std::move(make_communicator)) {}

  std::unique_ptr<Device> make_device(int) override { return std::make_unique<PlanDevice>("plan", traits_); }
  std::unique_ptr<Communicator> make_communicator(std::vector<int> members, int self, Device& device,
                                                  Ledger& ledger) override {
    return make_communicator_(std::move(members), self, device, ledger, link_);
  }
  void prepare(const LinkSpec& link, std::optional<std::int64_t>) override { link_ = link; }
  CurrentPhase& current_phase(int) override { return phase_; }

 private:
  DeviceTraits traits_;
  MakeCommunicator make_communicator_;
  LinkSpec link_;       // of the run; communicators look at it
  CurrentPhase phase_;  // nobody's
};

}  // namespace batchscope
