// The virtual devices of this user's processes as a source: read as a GPU's counters are, from any process.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/current_phase.h"
#include "telemetry/source.h"

namespace batchscope {

class VirtualPageView;

class VirtualDeviceSource : public Source {
 public:
  // Of one process and its descendants, or of all of them.
  explicit VirtualDeviceSource(std::optional<pid_t> root = {});
  ~VirtualDeviceSource() override;
  std::string name() const override { return "virtual"; }
  Nanoseconds discovery_period() const override { return std::chrono::milliseconds(100); }
  bool discover(const Clock& clock) override;
  const std::vector<CounterGroup>& groups() const override { return groups_; }
  void read(std::size_t group, Rows& rows) override;

 private:
  struct Process;
  static void read(Process& process, std::span<Reading> out);

  std::optional<pid_t> root_;
  std::vector<std::unique_ptr<Process>> processes_;  // one a group
  std::vector<CounterGroup> groups_;
  std::int64_t next_id_ = 1;
};

// What runs now, for `devices` and `top`.
struct VirtualDevice {
  std::string name{};  // "cpu:0"
  pid_t pid = 0;
  std::optional<std::int64_t> memory_capacity_bytes{};  // absent: not limited
  std::int64_t memory_used_bytes = 0;
  std::int64_t link_tx_bytes = 0, link_rx_bytes = 0;
  std::optional<double> busy_seconds{};        // CPU time of its worker thread; absent: none yet, or not readable
  std::optional<CurrentPhase::State> phase{};  // absent: it does nothing
};
std::vector<VirtualDevice> virtual_devices_now();

// True for the process itself, its children, their children …
bool descends_from(pid_t pid, pid_t root);

}  // namespace batchscope
