// A load run in the files of other load generators, made from the requests' records with the definitions that each of
// them gives its words, so that its tools read them and its figures follow from them. docs/load.md has every key.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "report/load_report.h"

namespace batchscope {

// What `vllm bench serve --save-result --save-detailed` saves.
nlohmann::json to_vllm_json(const LoadReport& report);

// GuideLLM's benchmarks.json of schema version 2: a benchmark for each run. Not for none.
nlohmann::json to_guidellm_json(std::span<const LoadReport> reports);

// AIPerf's profile_export.jsonl, profile_export_aiperf.json and profile_export_aiperf.csv.
struct AiperfFiles {
  std::string records{}, summary_json{}, summary_csv{};
};
AiperfFiles to_aiperf_files(const LoadReport& report);

}  // namespace batchscope
