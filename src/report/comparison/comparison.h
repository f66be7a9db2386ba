// Two runs of a study, or of one cell, side by side: what became slower, less accurate, larger, and what is only noise.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "analysis/statistics.h"
#include "report/figure/figure.h"
#include "report/section.h"
#include "report/study_report.h"
#include "store/store.h"

namespace batchscope {

// All answers of one run by acc_norm, sorted by the items' ids.
struct AnswerSheet {
  std::vector<std::string> ids;  // as JSON
  std::vector<std::int64_t> gold;
  std::vector<Answer> answers;
};

// One side of a comparison.
struct ComparedStudy {
  std::string file;
  StudyReport report;
  std::vector<AnswerSheet> sheets;                                 // all different
  std::vector<std::map<std::int64_t, std::size_t>> sheet_of_cell;  // of each cell: repeat to sheet, of runs with items
};
// `study`: its name, where the file holds several.
ComparedStudy read_compared_study(const StoreReader& reader, const std::optional<std::string>& study = {});
// The index of the sheet among those of the study; equal ones share it.
std::size_t add_sheet(ComparedStudy& study, AnswerSheet sheet);

// What a regression must exceed besides noise. Shares; of accuracy, of all items.
struct Thresholds {
  double time = 0.05;
  double accuracy = 0.01;
  double memory = 0.01;
  double traffic = 0.01;
  bool judge_disturbed = false;  // times of repeats that other programs disturbed count too
};

enum class Judgement {
  none,        // equal, or not beyond noise
  worse,       // a regression
  better,      // beyond noise
  small,       // worse beyond noise, within the threshold
  not_judged,  // `why` says why
};
std::string to_string(Judgement judgement);  // "none", "worse", "better", "small", "not judged"

// One number of both sides; absent is unknown.
struct Compared {
  std::optional<double> a, b;
  std::optional<double> ratio;      // b / a
  std::optional<double> low, high;  // 95 %, of a single number
  std::optional<double> p;          // that it is worse by chance, adjusted for all tests of the comparison (Holm)
  Judgement judgement = Judgement::none;
  std::string why{};
};

struct CellComparison {
  std::string key;           // as in A
  std::string label;         // "TP4 fused, batch 8"
  std::size_t a = 0, b = 0;  // indices into the reports' cells
  Compared status;           // without numbers
  Compared time;             // seconds
  Compared accuracy;         // acc_norm
  std::optional<Paired> answers;
  Compared memory;             // bytes, peak of the device that grew most
  Compared traffic;            // bytes sent, all devices
  Compared computed, padding;  // tokens; not judged for themselves: they cost time
  Compared p50_ms, p99_ms;     // of batches; not judged: their sum is the time
  Compared ttft_ms, tpot_ms;   // medians over requests; not judged
};

struct FrontierComparison {
  std::string label;
  Compared largest;  // batch that ran
};

// A setting or a fact of the machine that differs; "" is absent.
struct Difference {
  std::string what, a, b;
};

struct Comparison {
  std::string file_a, file_b, study_a, study_b;
  Thresholds thresholds;
  std::vector<CellComparison> cells;  // in the order of A
  Compared overall;                   // time of all cells with repeats, geometric mean; a and b are absent
  double run_noise = 0;               // standard deviation that was allowed for between runs
  std::vector<FrontierComparison> frontiers;
  std::vector<std::string> only_in_a, only_in_b;  // labels
  std::vector<Difference> settings;  // one value in all of A, another in all of B: cells are matched all the same
  std::vector<Difference> environment;

  std::vector<std::string> regressions() const;  // a line each; empty: none
  std::vector<std::string> not_judged() const;   // what could not be compared, and why
};

// InputError when no cell is in both.
Comparison compare(const ComparedStudy& a, const ComparedStudy& b, const Thresholds& thresholds);

nlohmann::json to_json(const Comparison& comparison);
std::vector<Section> comparison_sections(const Comparison& comparison);
std::string to_text(const Comparison& comparison, bool colour);
// Ratios of the cells' times, and of all together.
Figure time_ratio_figure(const Comparison& comparison);

}  // namespace batchscope
