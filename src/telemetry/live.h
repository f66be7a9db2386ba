// What a machine's counters say now, for who shows them rather than keeps them: `top`, `serve`.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "telemetry/collector.h"
#include "telemetry/sampler.h"
#include "telemetry/sources/missing_gpus.h"
#include "telemetry/summary/summary.h"

namespace batchscope {

class Live {
 public:
  // Sampling begins at once and goes on until the end of the object, whether anybody looks or not.
  // Of `late` sources of these `kinds` are read from when they come.
  Live(std::vector<std::unique_ptr<Source>> sources, const SamplerOptions& options,
       std::shared_ptr<LateGpus> late = nullptr, std::vector<std::string> kinds = {});
  ~Live();
  Live(const Live&) = delete;
  Live& operator=(const Live&) = delete;

  // Every counter of the devices and processes that there are, in the order of appearance, with its last value, its
  // sums since the begin, and why it has no value now; and what sampling costs. What is gone is forgotten. To be called
  // at least every few seconds, or readings are lost. Any thread.
  RecordingSummary look();

 private:
  const Nanoseconds begin_;
  const std::shared_ptr<LateGpus> late_;
  const std::vector<std::string> kinds_;
  std::mutex mutex_;
  Collector collector_;
  Sampler sampler_;
};

}  // namespace batchscope
