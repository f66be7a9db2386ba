// Fields that several tables have: each carries the unrounded value that it shows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "report/study_report.h"
#include "report/text.h"

namespace batchscope {

std::optional<double> as_double(const std::optional<std::int64_t>& value);

TextTable::Field count_field(std::int64_t count);
TextTable::Field bytes_field(const std::optional<double>& bytes, const char* unknown = "?");
TextTable::Field share_field(const std::optional<double>& share, int digits = 1);  // 0 to 1
TextTable::Field seconds_field(const std::optional<double>& seconds);

// Bytes of a link three ways and how they agree: predicted, counted, the link's own, closure.
std::vector<TextTable::Field> closing_fields(const std::optional<double>& predicted,
                                             const std::optional<double>& counted,
                                             const std::optional<double>& links_own);

// Every device and link of a cell: devices, link, and the closing fields. Neighbours with the same numbers share a row.
std::vector<std::vector<TextTable::Field>> traffic_rows(const CellSummary& cell);

}  // namespace batchscope
