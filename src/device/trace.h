// What a rank enqueues, in order: kernels and collectives, each with its cost. Memory, traffic, arithmetic and time of a
// plan all come from it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "device/work.h"

namespace batchscope {

// One rank's part of a collective.
struct CollectiveWork {
  std::string collective;  // "all_reduce", as in the ledger
  std::string algorithm;   // "ring"
  std::string phase;       // "attention"
  int ranks = 1;
  std::int64_t payload_bytes = 0;                 // of the tensor given
  std::int64_t tx_bytes = 0, rx_bytes = 0;        // over the link, by the algorithm's formula
  std::int64_t kernels = 0;                       // of its own; in a trace they are the last ones before it
};

using TraceEntry = std::variant<Work, CollectiveWork>;

// A point in a device's order of work. `number` is the device's own.
struct Event {
  std::int64_t number = 0;
};

// Told by a device of everything that is enqueued, with an event on either side.
class LaunchObserver {
 public:
  virtual ~LaunchObserver() = default;
  virtual void launched(const TraceEntry& entry, Event begin, Event end) = 0;
};

class Trace : public LaunchObserver {
 public:
  void add(TraceEntry entry) { entries_.push_back(std::move(entry)); }
  void launched(const TraceEntry& entry, Event, Event) override { add(entry); }
  const std::vector<TraceEntry>& entries() const { return entries_; }
  void clear() { entries_.clear(); }

 private:
  std::vector<TraceEntry> entries_;
};

}  // namespace batchscope
