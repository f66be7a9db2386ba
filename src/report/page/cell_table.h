// One table with everything of every cell, for the page.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

#include "report/study_report.h"

namespace batchscope {

// The anchor of a cell's details.
std::string cell_anchor(std::size_t cell);

// As HTML, from `to_json(report)`, so that both have the same numbers: each column's `data-path` says where in a cell
// of `report --json` its values come from: "time.mean", or "sum(result.devices[].links[].counted_tx_bytes)"; sum, mean,
// max and worst (farthest from 1) are of all places where [] leads, "/ PATH" divides by another.
std::string cell_table_html(const StudyReport& report, const nlohmann::json& json);

}  // namespace batchscope
