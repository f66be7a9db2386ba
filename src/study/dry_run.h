// What a study would do: its cells, their planned memory, and a rough estimate of the time. Nothing is loaded.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "study/study_file.h"

namespace batchscope {

struct DryRun {
  struct Row {
    std::string strategy;  // short, for tables
    std::int64_t batch = 0;
    std::string key;                             // without the repeat
    std::optional<std::int64_t> planned_bytes;   // of the fullest device
    std::optional<std::int64_t> capacity_bytes;  // absent: no limit is set
    std::optional<bool> fits;                    // absent: nothing limits it, or no plan
    std::optional<double> seconds;               // one run; absent when it does not fit
    std::string problem;                         // why there is no plan
  };
  std::string study;
  std::int64_t repeats = 1;
  std::vector<Row> rows;
  double seconds = 0;  // of all repeats, without the search for the largest batch
};

DryRun plan_study(const StudySpec& study);
nlohmann::json to_json(const DryRun& plan);
std::string to_text(const DryRun& plan);

}  // namespace batchscope
