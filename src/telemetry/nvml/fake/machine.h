// The machine of a scenario: what each counter is at a time, as pure functions of it. Times count from the machine's
// begin; integrals are exact (integers of 128 bits, no stepping).
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "telemetry/nvml/fake/scenario.h"

namespace batchscope::nvml::fake {

__extension__ typedef __int128 Int128;

// One load with the sums up to each of its intervals.
class LoadCurve {
 public:
  explicit LoadCurve(Load load);
  const Activity& at(Nanoseconds time) const;
  // The integral of a rate from the load's begin, in the rate's unit × ns.
  Int128 integral(Rate rate, Nanoseconds time) const;

 private:
  struct Position {
    std::size_t interval;  // intervals.size(): idle, afterwards
    Nanoseconds into;      // since the interval began
    std::int64_t rounds;   // full ones before
  };
  Position find(Nanoseconds time) const;

  Load load_;
  std::vector<Nanoseconds> begins_{};                     // of each interval, and the end of the last
  std::vector<std::array<Int128, rate_count>> before_{};  // the same for the integrals
};

enum class Direction { tx, rx };

class Gpu {
 public:
  Gpu(GpuSpec spec, int index, std::span<const Fault> faults);

  const GpuSpec& spec() const { return spec_; }
  int index() const { return index_; }
  // From `from` on the GPU has another load; totals go on.
  void set_load(Load load, Nanoseconds from);

  const Activity& at(Nanoseconds time) const;

  Utilization utilization(Nanoseconds time) const;
  std::uint32_t power_mw(Nanoseconds time) const;
  std::uint32_t mean_power_mw(Nanoseconds time, Nanoseconds window) const;
  std::uint64_t energy_mj(Nanoseconds time) const;
  std::uint64_t pcie_bytes(Direction direction, Nanoseconds time) const;     // wraps
  std::uint32_t pcie_kb_per_s(Direction direction, Nanoseconds time) const;  // mean of the window that ends at `time`
  std::uint64_t nvlink_bytes(Direction direction, Nanoseconds time) const;
  // Links take turns byte by byte, so that their sum is the total.
  std::uint64_t nvlink_bytes(Direction direction, std::uint32_t link, Nanoseconds time) const;
  std::uint64_t capped_ns(Rate rate, Nanoseconds time) const;
  std::uint64_t ecc_errors(EccError error, Nanoseconds time) const;

  // What the driver's ring holds, the oldest first; absent: it has no such ring.
  struct RingEntry {
    Nanoseconds time;
    std::uint32_t value;
  };
  std::optional<std::vector<RingEntry>> ring(SamplingType type, Nanoseconds time) const;
  std::int64_t ring_size(SamplingType type) const;

  // Of two samples, taken at these times; absent: no such metric. Counters are renewed every refresh: closer pairs see
  // nothing, or all that happened in a refresh as if in the time between them.
  std::optional<double> gpm_metric(std::uint32_t id, Nanoseconds first, Nanoseconds second) const;

 private:
  struct Phase {
    Nanoseconds begin;
    LoadCurve curve;
    std::array<Int128, rate_count> before;  // integrals until then
  };
  const Phase& phase_at(Nanoseconds time) const;
  Int128 integral(Rate rate, Nanoseconds time) const;
  // As a counter shows it: since its last reset, in the rate's unit × s.
  std::uint64_t total(Rate rate, Nanoseconds time) const;
  double mean(Rate rate, Nanoseconds begin, Nanoseconds end) const;
  double refreshed(Rate rate, const Refresh& refresh, Nanoseconds instant) const;
  Nanoseconds last_gpm_refresh(Nanoseconds time) const;

  GpuSpec spec_;
  int index_;
  std::vector<Fault> faults_{};  // that concern this GPU
  std::vector<Phase> phases_{};
};

// The last multiple of the refresh at or before time - lag.
Nanoseconds last_refresh(const Refresh& refresh, Nanoseconds time);

struct Event {
  Nanoseconds time;
  int gpu;
  std::uint64_t type, data;
};

class Machine {
 public:
  explicit Machine(Scenario scenario);

  const Scenario& scenario() const { return scenario_; }
  const std::vector<Gpu>& gpus() const { return gpus_; }
  void set_load(int gpu, Load load, Nanoseconds from);
  const std::vector<Event>& events() const { return events_; }  // by time

  // What a fault makes of a call (a function, or a field's number) at this time; success: nothing. `gpu` -1: none.
  Return refusal(int gpu, std::string_view call, Nanoseconds time) const;
  // Until when it hangs; absent: it does not.
  std::optional<Nanoseconds> hang(int gpu, std::string_view call, Nanoseconds time) const;
  bool lost(int gpu, Nanoseconds time) const;

 private:
  Scenario scenario_;
  std::vector<Gpu> gpus_{};
  std::vector<Event> events_{};
};

}  // namespace batchscope::nvml::fake
