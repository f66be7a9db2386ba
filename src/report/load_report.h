// A run of the load generator as its .bscope file holds it: every figure is made of the requests' records.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "load/metrics.h"
#include "store/load_runs.h"

namespace batchscope {

struct LoadReport {
  LoadRunRecord run{};
  nlohmann::json spec{};
  std::vector<LoadRequestRecord> requests{};
  load::LoadSummary summary{};
};

// With the SLO and the warm-up that the run was started with.
LoadReport make_load_report(LoadRunRecord run, std::vector<LoadRequestRecord> requests);
// In the order in which they were due, without the warm-up: those that the summary is about.
std::vector<LoadRequestRecord> measured_requests(const LoadReport& report);
// All runs of the file; none: it holds none.
std::vector<LoadReport> read_load_reports(const std::filesystem::path& path);

std::string to_text(std::span<const LoadReport> reports, bool colour);
nlohmann::json to_json(std::span<const LoadReport> reports);

}  // namespace batchscope
