// Known loads: traffic and work of exactly known size and time on one GPU, to hold counters against.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace batchscope {

enum class LoadKind {
  copy_to_device,  // pinned host memory to the GPU
  copy_to_host,
  copy_to_peer,  // to another GPU's memory, directly
  copy_from_peer,
  all_reduce,  // over all GPUs, by NCCL
  spin,        // a kernel that waits: busy at little power
  burn,        // a kernel of multiply-adds: busy at much power
  allocation,  // memory that is held and not touched
};
std::string_view name_of(LoadKind kind);

// `cycles` bursts with `idle` of nothing after each. A burst is `transfers` copies or all-reduces of `bytes` each,
// queued one behind the other; or a kernel that runs for `busy`; or an allocation of `bytes` that is held for `busy`.
struct Load {
  LoadKind kind = LoadKind::spin;
  std::int64_t bytes = 0;
  std::int64_t transfers = 1;
  Nanoseconds busy{0}, idle{0};
  int cycles = 1;
  // Bursts and pauses differ, from half to one and a half of `busy` and `idle` in a fixed sequence: a load that is like
  // itself at no other time tells windows and lags apart which differ by a cycle.
  bool uneven = false;

  Nanoseconds busy_of(int cycle) const;
  Nanoseconds idle_of(int cycle) const;
};

// Host's monotonic clock: before the first call of the burst, and when the last one's work was done.
struct Burst {
  Nanoseconds begin{0}, end{0};
  double seconds() const { return to_seconds(end - begin); }
};

// What a load did: payload without any protocol.
struct LoadRun {
  std::vector<Burst> bursts{};
  std::int64_t transfers = 0;
  // Through the GPU's links, out of it and into it. An all-reduce over n GPUs: 2(n−1)/n of its size each way (the
  // ring's formula, which every algorithm that reduces on the GPUs must move at least).
  std::int64_t tx_bytes = 0, rx_bytes = 0;

  double busy_seconds() const {
    double seconds = 0;
    for (const Burst& burst : bursts) seconds += burst.seconds();
    return seconds;
  }
};

// What `load` moves in all on each of `gpus` GPUs. Bursts are empty.
LoadRun planned_run(const Load& load, int gpus);

// Runs loads on one GPU, one at a time, beside the thread that reads counters.
class LoadRunner {
 public:
  virtual ~LoadRunner() = default;
  // Why such a load cannot run here, in words; nothing when it can.
  virtual std::optional<std::string> cannot(LoadKind kind) = 0;
  // What a copy or all-reduce runs over: 1 without a peer.
  virtual int gpus() const = 0;
  // Gets ready whatever takes its time: memory, communicators. May itself move bytes. Throws Failure when it cannot.
  virtual void prepare(const Load& load) = 0;
  // Lets what was prepared begin, and returns at once.
  virtual void start() = 0;
  virtual bool running() = 0;
  // Waits for the end. Throws Failure when the load failed.
  virtual LoadRun finish() = 0;
};

}  // namespace batchscope
