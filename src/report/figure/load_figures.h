// Figures of load runs: how latencies are distributed, what became of them over rate or concurrency, requests over
// time.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "report/figure/figure.h"
#include "report/load_report.h"

namespace batchscope {

// Of each run what tells it from the others: "20/s", "concurrency 32"; with the server where there are several.
std::vector<std::string> load_run_labels(std::span<const LoadReport> reports);

// Those that the runs have data for: goodput_rate, goodput_concurrency and what goes with them, of several runs;
// distribution_ttft, …; requests, under_way, tokens over time.
std::vector<Figure> load_figures(std::span<const LoadReport> reports);

}  // namespace batchscope
