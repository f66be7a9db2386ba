// Traces for people and for programs: a plan's, and those of steps that ran.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "analysis/performance_model.h"
#include "device/trace.h"
#include "engine/report.h"

namespace batchscope {

// A JSON object a line for every kernel and collective of every rank, in its order (docs/formats.md). `model`: of their
// times; null where they are not known.
std::string trace_lines(const std::vector<Trace>& traces, const PerformanceModel* model);
// What one rank enqueues, by op: calls, arithmetic, bytes of memory and of links, time, and each op's share of all.
std::string trace_table(const Trace& trace, const PerformanceModel* model, bool colour);

// The same of steps that ran, with the times that their entries took, and what they would take at the device's limits.
std::string trace_lines(std::span<const ObservedStep> steps);
// By op: time, speed, share of the device's limits; then where the step's time went.
std::string trace_table(const ObservedStep& step, bool colour);

}  // namespace batchscope
