// The host as a source: CPUs, memory, disks, network and InfiniBand, the control group that limits it, and one process
// with its descendants.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "telemetry/source.h"

namespace batchscope {

class HostSource : public Source {
 public:
  struct Options {
    std::optional<pid_t> root{};  // count this process and its descendants too
    bool adopts = false;          // which become children of this program when their parents end (a subreaper)
    std::string files = "/";      // where proc/ and sys/ are; tests have their own
  };
  explicit HostSource(Options options);

  std::string name() const override { return "host"; }
  // The kernel counts CPU time in ticks of 10 ms: faster reading repeats values.
  Pace pace(Nanoseconds asked) const override;
  bool discover(const Clock& clock) override;
  const std::vector<CounterGroup>& groups() const override { return groups_; }
  void read(std::size_t group, Rows& rows) override;

 private:
  using Reader = std::function<void(std::span<Reading>)>;
  void add(std::vector<Counter> counters, Reader reader);
  void add_cpu_and_memory();
  void add_control_group();
  void add_process();
  bool has_begun();  // the command whose process is observed
  void add_disks();
  void add_networks();
  void add_infiniband();

  Options options_;
  bool found_ = false, has_begun_ = false;
  std::int64_t process_group_ = 0;
  std::vector<CounterGroup> groups_;
  std::vector<Reader> readers_;  // one a group
};

}  // namespace batchscope
