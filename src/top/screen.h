// What there is to show at one moment, whether it happens now or was recorded: counters in, meaning out. How it looks
// is layout.h's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "top/track.h"

namespace batchscope::top {

// What sampling costs and missed.
struct SamplingCost {
  std::optional<double> cpu_share{};  // of one core
  std::int64_t missed = 0;            // deadlines and readings
  std::vector<std::string> stuck{};   // sources of which a call has not returned
  bool has_begun = true;              // all that make a main curve have been read twice, but for those
};

// What an engine of ours does.
struct RunningPhase {
  std::string track{}, name{}, detail{};
  Nanoseconds since{0};  // how long
};

// What the system says of a process.
struct ProcessOwner {
  std::string user{}, command{};  // its name; its command line
};

// All that is known at one moment.
struct Observation {
  const Tracks& tracks;
  Nanoseconds at{0};                                 // on the clock of the readings
  Nanoseconds step = std::chrono::seconds(1);        // time of a column of a history
  std::map<std::string, std::string> environment{};  // of the session: host, CPUs, driver, what each GPU is
  SamplingCost sampling{};
  std::vector<RunningPhase> phases{};
  std::map<std::int64_t, ProcessOwner> owners{};  // by PID; none of a recording
};

// Absent values are unknown.
struct Value {
  std::optional<double> now{};
  History history{};
};

struct Link {
  std::string name{};  // "PCIe", "NVLink", "link"
  Value tx{}, rx{};    // bytes per second
};

// A GPU, or a virtual device.
struct Board {
  std::string label{};  // "gpu:0", "cpu:0"
  std::string name{};   // "NVIDIA H200", "virtual, pid 123"
  bool is_virtual = false;
  bool is_part = false;  // of a GPU (MIG): what it has of its own is memory, processes and activity
  bool shares_host_memory = false;
  bool is_asleep = false;  // and why that is so is its trouble
  Value utilization{};     // share of the time; of a virtual device of its thread's
  std::optional<double> sm_active{}, tensor_active{}, dram_active{};  // shares
  Value memory_used{};                                                // bytes
  std::optional<double> memory_reserved{}, memory_capacity{};
  Value power{};                                                                   // watts
  std::optional<double> power_limit{}, temperature{}, sm_clock{}, memory_clock{};  // watts, celsius, hertz
  std::optional<double> encoder{}, decoder{}, fan{};                               // shares
  std::vector<std::string> clock_limits{};  // what holds clocks down: "power cap"
  std::vector<Link> links{};                // those that there are
  std::vector<std::string> errors{};        // what should never be: "Xid 79"
  std::string trouble{};                    // nothing is known now, and why
  std::vector<std::string> absences{};      // something is not known now, and why
};

struct Process {
  std::string board{};  // label
  std::string name{};
  std::int64_t pid = 0;
  std::optional<double> memory{}, memory_share{};  // bytes, of the board's
  std::optional<double> utilization{};             // share of the time with a kernel of its own on the board
  std::string user{}, command{};                   // "": not known
};

struct Host {
  std::string name{};
  std::optional<double> cpus_busy{}, cpus{}, memory_used{}, memory_total{};
};

struct Screen {
  Host host{};
  std::string driver{};  // its version
  std::vector<Board> boards{};
  std::vector<Process> processes{};
  std::vector<RunningPhase> phases{};
  SamplingCost sampling{};
  Nanoseconds step{0};
};

// Histories have `columns` values.
Screen make_screen(const Observation& observation, std::size_t columns);

// Every board's main figures have a first value, or it is known why not.
bool is_complete(const Screen& screen);

// Whether a counter is of any use to a screen: others need not be read.
bool is_on_screen(std::string_view counter);

}  // namespace batchscope::top
