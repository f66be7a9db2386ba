// A plan's traces for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "analysis/performance_model.h"
#include "device/trace.h"

namespace batchscope {

// A JSON object a line for every kernel and collective of every rank, in its order (docs/formats.md). `model`: of their
// times; null where they are not known.
std::string trace_lines(const std::vector<Trace>& traces, const PerformanceModel* model);
// What one rank enqueues, by op: calls, arithmetic, bytes of memory and of links, time, and each op's share of all.
std::string trace_table(const Trace& trace, const PerformanceModel* model, bool colour);

}  // namespace batchscope
