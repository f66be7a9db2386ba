// The worker's side of a study: a process that loads a model once and runs the cells it is sent.
//
// JSON lines. The study sends {"run": CellSpec, "reference": SentinelReference or null}; the worker answers {"loaded": true} once the cell's model is there,
// {"warm": true} when what comes next is timed, then {"done": CellRecords}. It ends when its input does. Where a launcher started it as several processes, rank 0's has
// the pipes, and the others do as it does.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "engine/engine.h"
#include "study/sentinel.h"

namespace batchscope {

using EngineMaker = std::function<std::unique_ptr<Engine>(const EngineSpec& spec)>;
// Answers to compare a cell's with where the study sends none; as a rule own_reference().
using ReferenceMaker = std::function<SentinelReference(const CellSpec& spec)>;

void serve_worker(int in, int out, const EngineMaker& make, World* world = nullptr,
                  const ReferenceMaker& make_reference = {});

}  // namespace batchscope
