// What a .bscope file holds, as plain structs: one a table. Absent values are unknown, never 0.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace batchscope {

// One run of the program that wrote to the file.
struct SessionRecord {
  std::int64_t id = 0;  // given by the store
  std::string verb{};   // "study", "record", "eval"
  double started_unix_s = 0;
  std::optional<double> ended_unix_s{};  // absent: still running, or killed
  // Unix time at which the host's monotonic clock stood at zero: turns the session's instants into dates.
  Nanoseconds monotonic_zero_unix{0};
  std::map<std::string, std::string> environment{};  // an allow-list: versions, devices, driver, clocks, Slurm job
};

struct StudyRecord {
  std::int64_t id = 0;
  std::string name{};       // unique in the file
  std::string spec_json{};  // the whole study as it was read
};

struct CellRecord {
  std::int64_t id = 0;
  std::int64_t study = 0;
  std::string key{};           // stable and unique in its study: the same cell has the same key after a restart
  std::string spec_json{};     // what the cell sets
  std::int64_t position = 0;   // order in the grid
  std::int64_t run_order = 0;  // order in which it is run (randomised)
};

// One try at a cell. Until finish_attempt() it is "running"; what a killed program left running becomes "interrupted".
struct AttemptRecord {
  std::int64_t id = 0;
  std::int64_t cell = 0;
  std::int64_t session = 0;
  std::int64_t number = 0;         // 1, 2, … of its cell
  std::string status = "running";  // running | interrupted | ok | truncated | out_of_memory | failed | timed_out
  std::optional<bool> valid{};     // absent: unknown
  std::string reason{};            // why not ok, or not valid
  double started_unix_s = 0;       // wall clock
  std::optional<double> ended_unix_s{};
  Nanoseconds begin{0};  // the same two moments on the host's monotonic clock, to cut series and phases with
  std::optional<Nanoseconds> end{};
  std::optional<double> seconds{};       // of scoring
  std::optional<double> load_seconds{};  // of loading the model
  std::string result_json{};             // the object of `eval --json`; "" while running
};

// How an attempt ended. The moment of the end is taken by the store.
struct AttemptResult {
  std::string status{};
  std::optional<bool> valid{};
  std::string reason{};
  std::optional<double> seconds{};
  std::optional<double> load_seconds{};
  std::string result_json{};
};

// One question's result: a line of `--items`.
struct ItemRecord {
  std::string id_json{};  // as the task file has it: a JSON integer or string
  std::int64_t gold = 0;
  std::vector<double> log_likelihoods{};  // one a choice; what is not finite is NaN after reading
  std::vector<std::int64_t> tokens{};     // context, whole_0, whole_1, …
  bool truncated = false;
  std::int64_t prediction = 0;
  std::int64_t prediction_norm = 0;
  std::optional<std::int64_t> prediction_bytes{};
  std::optional<std::int64_t> prediction_tokens{};
};

// What became of one request of a workload: a line of `--items`. Seconds since the begin of the run.
struct RequestRecord {
  std::string id_json{};  // a JSON integer or string
  double arrival_s = 0, admitted_s = 0, first_token_s = 0, end_s = 0;
  std::int64_t prompt_tokens = 0;  // before any truncation
  std::int64_t output_tokens = 0;
  bool truncated = false;
};

// Calls of one kind by one rank in one phase, added up.
struct LedgerRecord {
  std::int64_t rank = 0;
  std::string collective{}, algorithm{}, phase{};
  std::int64_t calls = 0;
  std::int64_t payload_bytes = 0;
  std::optional<std::int64_t> predicted_tx_bytes{}, predicted_rx_bytes{};  // by the algorithm's formula
  std::optional<std::int64_t> counted_tx_bytes{}, counted_rx_bytes{};      // where the transport copied
};

// One kind of link of one device in one attempt.
struct LinkRecord {
  std::string kind{};  // virtual | nvlink | pcie | nic
  std::optional<std::int64_t> predicted_tx_bytes{}, predicted_rx_bytes{};
  std::optional<std::int64_t> counted_tx_bytes{}, counted_rx_bytes{};
  std::optional<std::int64_t> link_tx_bytes{}, link_rx_bytes{};  // the link's own counters
};

// One device in one attempt.
struct DeviceRecord {
  std::string name{};  // "cpu:0"
  bool is_virtual = true;
  std::optional<std::int64_t> capacity_bytes{}, planned_bytes{}, peak_bytes{};
  std::optional<double> busy_compute{}, busy_communicate{}, busy_idle{};  // shares of the run, 0 to 1
  std::optional<double> energy_j{};
  std::vector<LinkRecord> links{};
};

// The search for the largest batch that runs, for one strategy.
struct FrontierRecord {
  std::int64_t study = 0;
  std::string strategy{};   // unique in its study: "tp4 on padded f32"
  std::string spec_json{};  // what stayed fixed
  struct Try {
    std::int64_t batch = 0;
    std::string status{};  // as an attempt's
    std::string reason{};
  };
  std::vector<Try> tries{};                    // in the order they were made
  std::optional<std::int64_t> largest_ran{};   // 0: not even the smallest; absent: not known (yet)
  std::optional<std::int64_t> largest_plan{};  // what the plan says
  std::string reason{};                        // why one of them is absent
};

// One counter of one device in one session.
struct SeriesRecord {
  std::int64_t id = 0;
  std::int64_t session = 0;
  std::string name{};    // OpenMetrics style, unit as suffix
  std::string unit{};    // "bytes", "seconds", "ratio", …
  std::string kind{};    // gauge | cumulative | window
  std::string device{};  // "cpu:0 (pid 123)", "host", "eth0"
  std::string source{};  // "host", "virtual"
  bool is_virtual = false;
  bool is_integer = true;                 // values are int64, otherwise double
  std::optional<std::int64_t> modulus{};  // of a raw counter that wraps; stored values are unwrapped
  std::optional<Nanoseconds> refresh{};   // how often the counter itself changes
  std::string help{};                     // one line for people
};

// A time in which a series has no value, or in which its increase is unknown.
struct GapRecord {
  std::int64_t series = 0;
  Nanoseconds begin{0}, end{0};  // monotonic
  std::int64_t ticks = 0;        // readings that were absent
  std::string reason{};
};

// Readings of one series at the ticks of its block.
struct SampleColumn {
  std::int64_t series = 0;
  std::vector<std::int64_t> integers{};  // [ticks] of a series of integers
  std::vector<double> reals{};           // [ticks] of the others
  std::vector<std::uint8_t> present{};   // [ticks]; empty: all are. Where 0 the value means nothing.
};

// Readings of counters that were read together: one pair of instants a tick for all of them.
struct SampleBlock {
  std::vector<Nanoseconds> before{}, after{};  // [ticks] monotonic, around each reading; `before` never goes back
  std::vector<SampleColumn> columns{};
};

// A whole series, or a part of it, as read back.
struct SampleSeries {
  std::vector<Nanoseconds> before{}, after{};  // [present readings]
  std::vector<std::int64_t> integers{};        // [present readings] of a series of integers
  std::vector<double> reals{};                 // [present readings] of the others
  std::size_t size() const { return before.size(); }
  double value(std::size_t i) const { return reals.empty() ? static_cast<double>(integers[i]) : reals[i]; }
};

// Neighbouring values of a series, summed up. What is not a number counts, but is in none of the figures.
struct SeriesBucket {
  Nanoseconds begin{0}, end{0};  // of the first and the last reading
  std::int64_t count = 0;        // values
  std::optional<double> sum{}, min{}, max{}, first{}, last{};
};

// From the chunks' own figures, without decoding them.
struct SeriesSummary {
  std::int64_t count = 0;   // values
  std::int64_t absent = 0;  // ticks without one
  std::optional<double> sum{}, min{}, max{}, first{}, last{};
  std::optional<Nanoseconds> begin{}, end{};  // of the first and last tick
};

// What one sampling thread says of itself.
struct SamplerRecord {
  std::int64_t session = 0;
  std::string source{};
  Nanoseconds period{0};
  std::int64_t ticks = 0;    // readings made
  std::int64_t missed = 0;   // deadlines passed without one
  std::int64_t dropped = 0;  // read, but lost because the writer was behind
  std::optional<Nanoseconds> period_error_p50{}, period_error_p99{}, period_error_max{};
  std::optional<Nanoseconds> call_p50{}, call_p99{}, call_max{};
  std::optional<double> cpu_share{};  // of one core
};

}  // namespace batchscope
