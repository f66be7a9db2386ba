// What came of a recording, counter by counter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "telemetry/counter.h"
#include "telemetry/marks/marked_phases.h"
#include "telemetry/summary/sampler_figures.h"

namespace batchscope {

struct CounterSummary {
  std::int64_t number = 0;  // of the counter, in its collector; that of a forgotten one is not given again
  Counter counter{};
  std::string source{};
  std::int64_t count = 0;                                 // readings with a value
  std::int64_t absent = 0;                                // readings without
  double sum = 0, min = 0, max = 0, first = 0, last = 0;  // of the values; they mean nothing when count is 0
  Nanoseconds begin{0}, end{0};                           // of the first and last value
  std::optional<double> error{};                          // 95 % of the total or mean within ±; absent: not known
  const char* absent_now = nullptr;                       // why the last reading had no value; null: it had one
  struct Gap {
    std::string reason{};
    std::int64_t readings = 0;  // absent ones; 0: an increase between two readings is unknown
    std::int64_t times = 0;
    Nanoseconds time{0};
  };
  std::vector<Gap> gaps{};  // one a reason

  void add(double value, Nanoseconds when);
  void note_gap(const char* reason, std::int64_t readings, Nanoseconds time);

  std::optional<double> total() const;       // of a cumulative counter: its known increase
  bool total_is_complete() const;            // no part of the increase is unknown
  std::optional<double> rate_per_s() const;  // total / time between the first and last value
  std::optional<double> mean() const;        // of a gauge or window
  bool is_cumulative() const { return counter.kind == CounterKind::cumulative; }
};

struct RecordingSummary {
  Nanoseconds elapsed{0};
  std::vector<CounterSummary> counters{};
  std::vector<SamplerFigures> samplers{};
  std::vector<std::string> calibrations{};  // of which board and when, or why there is none: for errors
  std::vector<PhaseTotal> phases{};         // by name, those that took the longest first
  std::optional<MarkCounts> marks{};        // absent: none could be received, or read from a file
};

}  // namespace batchscope
