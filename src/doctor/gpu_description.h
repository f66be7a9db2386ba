// What each GPU of this machine is: `devices` prints it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "telemetry/sources/nvml_gpu.h"

namespace batchscope {

struct MigInstance {
  std::string label{}, profile{}, uuid{};  // "gpu:0:1", "1g.18gb"
  std::optional<std::int64_t> memory_bytes{};
};
struct GpuDescription {
  std::string label{}, name{}, uuid{}, bus_id{};
  std::optional<int> cuda_ordinal{};  // absent: CUDA is not there, or hides it
  bool is_cuda_asked = true;          // false: it would have woken a GPU that sleeps
  std::optional<std::int64_t> memory_bytes{}, memory_used_bytes{};
  bool shares_host_memory = false;                     // then neither is known
  std::optional<int> pcie_generation{}, pcie_lanes{};  // the most it can do
  int nvlinks = 0;                                     // active ones
  std::string mig{};                                   // "off", "on", or why it is unknown
  std::vector<MigInstance> mig_instances{};
};
std::vector<GpuDescription> describe(const std::vector<NvmlGpu>& gpus);

}  // namespace batchscope
