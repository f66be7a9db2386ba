// All that is known of one cell, for the page: numbers, devices, links, ledger, changed answers, phases, environment.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/phase.h"
#include "report/study_report.h"

namespace batchscope {

// As HTML that opens on demand; at most `most_items` changed answers are listed.
std::string cell_details_html(const StudyReport& report, std::size_t cell, std::span<const Phase> phases,
                              std::size_t most_items);

}  // namespace batchscope
