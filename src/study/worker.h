// The worker's side of a study: a process that loads a model once and runs the cells it is sent.
//
// JSON lines. The study sends {"run": CellSpec}; the worker answers {"loaded": true} once the cell's model is there,
// then {"done": CellRecords}. It ends when its input does.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "engine/engine.h"

namespace batchscope {

using EngineMaker = std::function<std::unique_ptr<Engine>(std::string_view name)>;

void serve_worker(int in, int out, const EngineMaker& make);

}  // namespace batchscope
