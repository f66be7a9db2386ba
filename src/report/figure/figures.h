// The figures of a study: the paper's (Table 2 as curves, Figs. 4 to 6) first, then what it left open.
#pragma once

#include <vector>

#include "report/figure/figure.h"
#include "report/study_report.h"

namespace batchscope {

// Those that the study has data for: time, throughput, latency, goodput, goodput_rate, traffic_tx, traffic_rx,
// traffic_utilisation, traffic_driver, traffic_sm, paper, memory, energy, accuracy, accuracy_kept, changed, busy,
// frontier, closure, effects. A strategy has the style of its column in the tables; where it is cut to a token limit
// its markers are hollow.
std::vector<Figure> study_figures(const StudyReport& report);

}  // namespace batchscope
