// GPUs that the driver does not give: absent with the reason, and looked for again until they come.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/sources/nvml_gpu.h"

namespace batchscope {

constexpr std::string_view missing_gpus_kind = "gpus";  // the source's name
constexpr Nanoseconds missing_gpus_period = std::chrono::seconds(5);

// GPUs that come while others are read already, on their way from the thread that finds them to the one that has their
// sources read. Any thread.
class LateGpus {
 public:
  void put(NvmlGpu gpu, std::vector<std::unique_ptr<Source>> sources);
  // What was put since the last call.
  std::vector<std::unique_ptr<Source>> take();
  // All that were ever put, in their order.
  std::vector<NvmlGpu> gpus() const;

 private:
  mutable std::mutex mutex_;
  std::vector<NvmlGpu> gpus_;
  std::vector<std::unique_ptr<Source>> waiting_;
};

// Utilisation, memory and power of each missing GPU ("gpu:1"), or of "gpus" where the driver itself does not answer:
// always absent. Every `period` the driver is asked for them again, in threads that are left behind when it does not
// return; what comes goes to `late`. `known`: GPUs that are not missing.
std::unique_ptr<Source> missing_gpus_source(const std::vector<nvml::Refusal>& missing,
                                            const std::vector<NvmlGpu>& known, std::shared_ptr<LateGpus> late,
                                            Nanoseconds period = missing_gpus_period);

}  // namespace batchscope
