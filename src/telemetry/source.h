// A source of counters: the host, the virtual devices, a driver. The sampler gives each its own thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "telemetry/counter.h"

namespace batchscope {

// Counters that are read together and share their instants: those of one device, as a rule.
struct CounterGroup {
  std::int64_t id = 0;  // unique in the source for its lifetime: a device that comes back has a new one
  std::vector<Counter> counters{};
};

class Source {
 public:
  virtual ~Source() = default;
  virtual std::string name() const = 0;
  // Its own period, where it has one; otherwise as the user asked.
  virtual std::optional<Nanoseconds> period() const { return std::nullopt; }
  // How often to look for devices.
  virtual Nanoseconds discovery_period() const { return std::chrono::seconds(1); }
  // Looks for devices: before the first reading and then once a discovery period, between readings. True when groups()
  // changed. May allocate and take its time; a reading must not.
  virtual bool discover() = 0;
  virtual const std::vector<CounterGroup>& groups() const = 0;
  // Reads groups()[group]: one reading a counter, in their order.
  virtual void read(std::size_t group, std::span<Reading> out) = 0;
};

}  // namespace batchscope
