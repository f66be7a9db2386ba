// Cells that several tables have: each carries the unrounded value that it shows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "report/study_report.h"
#include "report/text.h"

namespace batchscope {

std::optional<double> as_double(const std::optional<std::int64_t>& value);

TextTable::Cell count_cell(std::int64_t count);
TextTable::Cell bytes_cell(const std::optional<double>& bytes, const char* unknown = "?");
TextTable::Cell share_cell(const std::optional<double>& share, int digits = 1);  // 0 to 1
TextTable::Cell seconds_cell(const std::optional<double>& seconds);

// Bytes of a link three ways and how they agree: predicted, counted, the link's own, closure.
std::vector<TextTable::Cell> closing_cells(const std::optional<double>& predicted, const std::optional<double>& counted,
                                           const std::optional<double>& links_own);

// Every device and link of a cell: devices, link, and the closing cells. Neighbours with the same figures share a row.
std::vector<std::vector<TextTable::Cell>> traffic_rows(const CellSummary& cell);

}  // namespace batchscope
