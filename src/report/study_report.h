// A study read back from its .bscope file: every number that tables, HTML and JSON show, worked out once.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analysis/statistics.h"
#include "load/metrics.h"
#include "report/section.h"
#include "store/store.h"
#include "study/axes.h"
#include "study/cell.h"

namespace batchscope {

// A question that a cell answers otherwise than the reference cell.
struct ChangedItem {
  std::string id_json;         // as the task file has it
  std::int64_t gold = 0;       // by acc_norm, as the two predictions
  std::int64_t reference = 0;  // what the reference cell answers
  std::int64_t here = 0;
};

// A finished attempt at a cell.
struct CellRun {
  std::int64_t repeat = 1;   // 1, 2, …; a merged file may have several runs of one repeat
  std::int64_t attempt = 0;  // in the store
  std::string status;
  std::optional<bool> valid;
  std::string reason;
  std::optional<double> seconds;           // > 0
  std::optional<double> p50_ms, p99_ms;    // of its batches
  std::optional<double> ttft_ms, tpot_ms;  // medians over its requests
};

// One cell with all its repeats.
struct CellSummary {
  CellSpec spec;
  std::size_t strategy = 0;        // index into StudyReport::strategies
  std::string status = "not run";  // of its repeats the one that is most in the way: failed before ok
  std::optional<bool> valid;
  std::string reason;
  std::int64_t repeats = 0;             // finished ones
  std::int64_t interrupted = 0;         // attempts that the study's own end cut off
  std::vector<CellRun> runs;            // finished ones, in order of their repeat
  std::vector<double> seconds;          // of the repeats that ran, in their order
  std::optional<MeanInterval> time;     // of these
  std::optional<std::int64_t> attempt;  // the first one with a result: the details below are its own
  nlohmann::json result;                // its `eval --json` object; null without one
  std::vector<DeviceRecord> devices;
  std::vector<LedgerRecord> ledger;
  std::optional<Paired> paired;      // with the reference cell
  std::vector<Answer> answers;       // by acc_norm, in the order of the task
  std::vector<ChangedItem> changed;  // as many as paired->changed
  std::optional<load::Goodput> goodput;  // of the attempt's requests, where there is an SLO
};

// What one setting alone does: two cells that differ in it and in nothing else, repeat by repeat.
struct Effect {
  std::string axis;          // a cell's key: "fusion", "packing", "dtype"
  std::string from, to;      // its values: "off" and "qkv"
  std::size_t baseline = 0;  // indices into StudyReport::cells
  std::size_t cell = 0;
  std::optional<RatioInterval> time;  // seconds of `cell` / of `baseline`; absent when no repeat of both ran alike
};

struct StrategySummary {
  std::string name;        // unique
  std::string label;       // short: of its column, and its token limit
  std::size_t column = 0;  // index into StudyReport::columns
  CellSpec spec;           // of its first cell
  std::optional<FrontierRecord> frontier;
  std::optional<std::int64_t> capacity_bytes;
  std::optional<std::size_t> best;     // cell with the least time of those that are ok and valid as a measurement
  std::optional<std::size_t> fastest;  // the same of those that are ok: bytes are what they are, valid or not
};

struct StudyReport {
  std::string name;
  std::int64_t repeats = 1;
  std::vector<StrategySummary> strategies;
  std::vector<CellSummary> cells;  // in the order of the study
  std::vector<Effect> effects;
  std::optional<std::size_t> reference;
  std::optional<std::size_t> best;  // of all strategies' best; absent where cells have different tasks
  std::string slo;                  // what counts as goodput, in words; "": nothing was said
  std::optional<double> chance;     // share of items right by guessing; absent without items
  std::int64_t series = 0;          // time series in the file
  // Tables: rows are batches, those with cut sequences apart; columns are strategies, whatever they cut.
  struct Row {
    std::int64_t batch = 0;
    std::string token_limit;  // "" is none
    auto operator<=>(const Row&) const = default;
  };
  std::vector<Row> rows;
  std::vector<std::string> columns;  // labels
  bool has_virtual_devices = false;
  std::map<std::string, std::string> environment;  // of the last session
  std::int64_t sessions = 0;

  const CellSummary* cell(std::size_t column, const Row& row) const;  // null where the study has none
  const std::string& label(const CellSummary& cell) const { return strategies[cell.strategy].label; }
  std::string place(const CellSummary& cell) const;  // "TP2, batch 8"
};

// Why no cell is called the fastest, where none is.
std::string no_fastest_text(const StudyReport& report);

// The study of that name; without one, of a file that holds one study. InputError lists those that there are. Of its
// cells those that have all values of `where`; InputError where none has. `slo`: what counts as goodput
// (report/goodput.h).
StudyReport read_study_report(const StoreReader& reader, const std::optional<std::string>& study = {},
                              const AxisValues& where = {}, std::span<const load::SloTerm> slo = {});

nlohmann::json to_json(const StudyReport& report);
// The report's tables and remarks in their order; those without content are left out.
std::vector<Section> study_sections(const StudyReport& report);
std::string to_text(const StudyReport& report, bool colour);

// Traffic of a device over all its links; absent where any link's number is unknown.
struct DeviceTraffic {
  std::optional<double> predicted_tx, counted_tx, link_tx, predicted_rx, counted_rx, link_rx;  // bytes
};
DeviceTraffic traffic_of(const DeviceRecord& device);
// The share of `predicted` that `seen` is; absent when one is unknown or nothing was predicted.
std::optional<double> closure(std::optional<double> seen, std::optional<double> predicted);

}  // namespace batchscope
