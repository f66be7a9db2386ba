// The protocol's experiments, each for the counters that react to one kind of load.
#pragma once

#include <initializer_list>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "telemetry/calibration/bench.h"
#include "telemetry/calibration/calibration.h"
#include "telemetry/calibration/gain.h"
#include "telemetry/calibration/window.h"

namespace batchscope::calibration {

inline constexpr std::int64_t KiB = 1024, MiB = 1024 * KiB;

// A calibration underway.
class Experiments {
 public:
  Experiments(const Bench& bench, const std::set<std::string>& ids);

  void kernels();       // utilisation, power, their rings, clocks: under a kernel that comes and goes
  void energy();        // apart, since it is slow to read
  void memory();        // under allocations
  void pcie_bytes();    // cumulative counters, under copies
  void pcie_windows();  // the calls that block
  void nvlink_bytes();  // under copies between GPUs and all-reduces
  void gpm();

  std::map<std::string, CalibratedCounter, std::less<>> take() { return std::move(results_); }

 private:
  using Counters = std::vector<const NvmlCounter*>;
  using Properties = std::initializer_list<const char*>;

  // Those of the ids that are to be calibrated and can be read.
  Counters wanted(std::initializer_list<const char*> ids) const;
  Estimate& result(const std::string& id, const char* property) { return results_.at(id).properties[property]; }
  // Makes these absent, with one reason.
  void give_up(const Counters& counters, Properties properties, const std::string& why);
  static std::string no_load_text(LoadKind kind, const std::string& reason);
  // Whether the load can run; where not, the properties are given up.
  bool can_run(LoadKind kind, const Counters& counters, Properties properties);
  // Long enough to read them all once.
  Nanoseconds period_of(const Counters& counters) const;

  // Window, lag and level without load; `full`: what it should show while the load runs, 0 where nobody knows.
  void take_window(const std::string& id, const WindowFit& fit, double full, const char* why_no_gain = "");
  struct Rings;
  Rings open_rings();
  void take_gauge(const std::string& id, const Series& series, std::span<const Burst> bursts);
  void take_lag(const std::string& id, Estimate lag);
  void take_ring(const RingCounter& ring, const RingReader& reader, std::span<const Burst> bursts);

  // Cumulative counters of a link under one kind of load, by whose payload they should go up.
  void link(const Counters& counters, LoadKind kind, bool wraps_are_likely);
  void find_modulus(const Counters& counters, LoadKind kind, double rate, bool wraps_are_likely);
  void find_lag(const Counters& counters, LoadKind kind, double rate);
  void find_gain(const Counters& counters, LoadKind kind);
  void all_reduces(const Counters& counters);
  std::vector<Measured> measure(const Counters& counters, const Load& load);
  double rate_of(LoadKind kind);  // bytes per second

  const Bench& bench_;
  std::vector<NvmlCounter> counters_;
  std::set<std::string> ids_;
  std::map<std::string, CalibratedCounter, std::less<>> results_;
  std::map<std::string, double> cost_;  // seconds of a read, by id, of those that can be read
};

}  // namespace batchscope::calibration
