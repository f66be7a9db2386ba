// The machine as it is now (telemetry/live.h), with as much of its past as has been looked at.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "telemetry/live.h"
#include "telemetry/sources/virtual_devices.h"
#include "top/feed.h"

namespace batchscope::top {

// What counters say, look by look, as tracks.
class LiveTracks {
 public:
  void add(const std::vector<CounterSummary>& counters, Nanoseconds now);
  const Tracks& tracks() const { return tracks_; }

 private:
  // A counter as it was at the last look.
  struct Seen {
    Track* track = nullptr;  // null: not on the screen
    std::int64_t count = 0, absent = 0, unknown = 0;
    double sum = 0;
    Nanoseconds end{0};
  };
  void add(Seen& seen, const CounterSummary& counter, Nanoseconds now);

  Tracks tracks_;
  std::map<std::int64_t, Seen> seen_;  // by the counter's number
  Nanoseconds looked_{0};
};

// What devices do, by process and device, as of `now` (CLOCK_MONOTONIC). Tracks say the process where several have
// devices.
std::vector<RunningPhase> running_phases(std::vector<VirtualDevice> devices, Nanoseconds now);

// Of the processes that have memory on a GPU.
std::map<std::int64_t, ProcessOwner> owners_of(const std::vector<CounterSummary>& counters);

class LiveFeed : public Feed {
 public:
  // `environment` is that of a recording: the host, its CPUs, its GPUs. `late` are GPUs that may come.
  LiveFeed(std::vector<std::unique_ptr<Source>> sources, Nanoseconds interval,
           std::map<std::string, std::string> environment, std::string no_boards,
           std::shared_ptr<LateGpus> late = nullptr);

  Nanoseconds update_interval() const override;
  bool update(bool paused) override;
  Observation observation() const override;
  Caption caption() const override;
  bool handle(const Key& key) override;
  bool is_live() const override { return true; }
  void end_process(std::int64_t pid) override;

 private:
  void add_late_gpus();

  Nanoseconds interval_;
  std::map<std::string, std::string> environment_;
  std::string no_boards_;
  std::shared_ptr<LateGpus> late_;
  std::size_t late_gpus_ = 0;  // whose facts are known
  LiveTracks tracks_;
  SamplingCost sampling_;
  std::vector<RunningPhase> phases_;
  std::map<std::int64_t, ProcessOwner> owners_;
  std::string message_;
  Nanoseconds message_until_{0};
  Nanoseconds at_{0}, shown_{0};
  Live live_;
};

constexpr Nanoseconds shortest_interval = std::chrono::milliseconds(100);
constexpr Nanoseconds longest_interval = std::chrono::minutes(1);

}  // namespace batchscope::top
