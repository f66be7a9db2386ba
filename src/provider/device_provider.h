// What makes devices of one kind, and all that goes with them: their memory, how they talk to each other, and what their
// time is spent on. Whoever runs a model names a kind and knows no more of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/current_phase.h"
#include "comm/communicator.h"
#include "device/device_report.h"
#include "device/device_spec.h"
#include "tensor/precision.h"

namespace batchscope {

class World;

// The devices of one loaded model, one a rank; those of the ranks that are in this process. What has to do with a rank is
// called in that rank's own thread, unless it says otherwise.
class DeviceSet {
 public:
  virtual ~DeviceSet() = default;

  virtual std::unique_ptr<Device> make_device(int rank) = 0;
  // Of the group `members`, of which the rank is members[self]; `device` and `ledger` are the rank's.
  virtual std::unique_ptr<Communicator> make_communicator(std::vector<int> members, int self, Device& device,
                                                          Ledger& ledger) = 0;

  // Before a run, while no rank works: which link or what pace, forgetting an abort. InputError where there is no such.
  virtual void prepare(const LinkSpec& /*link*/, std::optional<std::int64_t> /*device_memory_bytes*/) {}
  // From any thread: wakes all ranks that wait for another by what the devices use; they end with PeerFailed.
  virtual void abort() {}

  // What the rank's device does now, for other processes to see. From any thread.
  virtual CurrentPhase& current_phase(int rank) = 0;
  // Absent where no data sheet tells.
  virtual std::optional<DeviceLimits> limits(int /*rank*/) { return std::nullopt; }
  virtual void begin_measuring(int /*rank*/) {}
  virtual void end_measuring(int /*rank*/) {}
  // Of the run between the two, which took `time` and of which steps took `working`: everything but memory, and of links
  // what they and their transport counted. From any thread.
  virtual DeviceReport report(int /*rank*/, Nanoseconds /*time*/, Nanoseconds /*working*/) { return {}; }
};

// How devices are to be used, as long as a model is loaded.
struct DeviceUse {
  DeviceSpec device;
  std::optional<int> threads;  // of each device's worker on the host; absent: an equal share of the available CPUs
  int cpu_sharers = 1;         // how many workers share them
  bool by_processes = false;   // each rank is one, so that no other reaches its memory
};

class DeviceProvider {
 public:
  virtual ~DeviceProvider() = default;

  // InputError when devices of this kind do not compute in that precision, or these are not there.
  virtual void check(const DeviceUse& use, const Precision& precision) = 0;
  // `world` outlives them.
  virtual std::unique_ptr<DeviceSet> open(const DeviceUse& use, World& world) = 0;
  // Devices that compute nothing and record everything; they need not be there.
  virtual std::unique_ptr<DeviceSet> plan(const DeviceUse& use) = 0;
  // Of the bytes that ranks on these devices exchange.
  virtual LinkKind link_kind(const LinkSpec& link, const DeviceSpec& device) const = 0;
  virtual bool is_virtual() const = 0;
  virtual bool has_graphs() const = 0;
};

// By DeviceSpec::kind.
DeviceProvider& device_provider(std::string_view kind);

// An equal share of the CPUs that this process may use, or what is set.
int threads_of(const DeviceUse& use);

}  // namespace batchscope
