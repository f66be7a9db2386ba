// The HTML page of a file's load runs.
#pragma once

#include <span>

#include "report/load_report.h"
#include "report/page/page.h"
#include "store/store.h"

namespace batchscope {

// Beside the runs, what the file has of the server and the machine at the time: of its own sessions, or merged into it.
Page load_page(std::span<const LoadReport> reports, const StoreReader& reader);

}  // namespace batchscope
