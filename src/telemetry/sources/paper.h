// The paper's profiler as a source, to be compared with exact counters on the same load: utilisation, memory and PCIe
// throughput of one GPU after the other, every 1/6 s, the wait shortened by what the calls took (PAPER.md).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "telemetry/sources/gpu_choice.h"

namespace batchscope {

// What it could not do at its start, as its exit code: 1 NVML does not initialise, 2 GPUs cannot be counted, 3 a GPU
// cannot be opened.
struct PaperFailure {
  int exit_code = 0;  // 0: none
  std::string why{};
};

// The source; null with a failure. Sleeping GPUs are left out: the paper's profiler would wake them.
std::unique_ptr<Source> paper_source(PaperFailure& failure, const GpuChoice& choice = {});

}  // namespace batchscope
