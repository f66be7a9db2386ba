// What a study would do: its cells, their planned memory, and how long they would take. No model is loaded.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "analysis/machine_rates.h"
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
    std::optional<double> seconds;               // one run; absent when it does not fit, or times are not known here
    std::string problem;                         // why there is no plan
  };
  std::string study;
  std::int64_t repeats = 1;
  std::vector<Row> rows;
  std::optional<double> seconds;  // of all repeats, without the search for the largest batch
};

// `rates`: of this machine.
DryRun plan_study(const StudySpec& study, RateSource& rates);
nlohmann::json to_json(const DryRun& plan);
std::string to_text(const DryRun& plan);

}  // namespace batchscope
