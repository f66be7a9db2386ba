// How long the rest of a study will take: by the model of performance, set right by what the study's own cells have
// taken.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/store.h"
#include "study/dry_run.h"
#include "study/study_file.h"

namespace batchscope {

// A cell in one repeat.
struct ExpectedRun {
  std::string strategy, worker;     // equal for those that are alike, and that share a loaded model
  std::optional<double> estimated;  // seconds of its timed part; absent: not known
  bool fits = true;                 // it is expected to run
  // What it took, where it is finished: all of it; its timed part, where it came to that; loading the model, if it did.
  std::optional<double> wall, timed, load;
};

struct TimeNeeded {
  std::int64_t runs = 0, finished = 0;
  std::optional<double> seconds;    // of the runs that are left; absent where nothing is known of one of them
  std::optional<double> low, high;  // 95 %, by how far off the finished runs would have been; absent below three
  std::optional<double> ratio;      // timed / estimated of the finished runs, their geometric mean
  bool with_loading = false;        // what a run takes beside its timed part is in it
};
TimeNeeded time_needed(std::span<const ExpectedRun> runs);

// The runs of a study, with what `file` (null: none) says of those that are finished.
std::vector<ExpectedRun> expected_runs(const StudySpec& study, const DryRun& plan, const StoreReader* file);

nlohmann::json to_json(const TimeNeeded& needed);
std::string to_text(const TimeNeeded& needed);

}  // namespace batchscope
