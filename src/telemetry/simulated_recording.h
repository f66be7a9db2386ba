// For tests and benchmarks: the fake NVML's GPUs recorded in simulated time, by the sampler's own schedule but without
// threads.
#pragma once

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "store/store.h"
#include "telemetry/collector.h"
#include "telemetry/nvml/fake/control.h"
#include "telemetry/sampler.h"
#include "telemetry/sources/nvml.h"

namespace batchscope {

class SimulatedRecording {
 public:
  // `fake` is the fake library's file. Sources of all its GPUs; no store: only the figures are kept.
  SimulatedRecording(const std::string& fake, const std::string& scenario, Nanoseconds asked,
                     StoreWriter* store = nullptr, std::int64_t session = 0)
      : control_(fake), collector_(store, session) {
    control_.set_scenario(scenario);
    clock_ = std::make_unique<nvml::fake::SimulatedClock>(control_, std::chrono::seconds(1));
    clock_->set_wall_offset(std::chrono::hours(24 * 365 * 50));
    library_ = std::make_shared<const nvml::Library>(fake);
    for (nvml::Gpu& gpu : library_->gpus()) gpus_.push_back({.library = library_, .gpu = std::move(gpu)});
    for (const NvmlGpu& gpu : gpus_)
      for (auto& source : nvml_sources(gpu))
        samplers_.push_back(std::make_unique<SourceSampler>(std::move(source), asked, *clock_));
    for (auto& sampler : samplers_) sampler->look_first();
    for (auto& sampler : samplers_) sampler->begin(Nanoseconds(0));
  }
  ~SimulatedRecording() {
    samplers_.clear();
    (*library_)->nvmlShutdown();  // the fake lives as long as the program
  }

  // Until that time of the machine; what is read goes into the collector twice a second.
  void run_until(Nanoseconds end) {
    while (true) {
      const auto next = std::min_element(samplers_.begin(), samplers_.end(),
                                         [](const auto& a, const auto& b) { return a->deadline() < b->deadline(); });
      if ((*next)->deadline() >= end) break;
      clock_->sleep_until((*next)->deadline() + lateness());
      (*next)->tick();
      if (clock_->now() >= committed_ + commit_period) commit();
    }
    clock_->sleep_until(end);
    commit();
  }
  // From now on readings are as late as on a host with other work: 50 us, sometimes milliseconds.
  void be_late() { is_late_ = true; }
  // All sources once more, as at the end of a recording.
  void read_all() {
    for (auto& sampler : samplers_) sampler->read_last();
    commit();
  }

  // Of a counter of one GPU; the first of that name, nothing where there is none.
  const CounterSummary* find(const std::string& name, int gpu = 0) {
    summaries_ = collector_.summaries();
    const std::string device = gpus_[static_cast<std::size_t>(gpu)].series();
    const auto found = std::find_if(summaries_.begin(), summaries_.end(), [&](const CounterSummary& s) {
      return s.counter.name == name && s.counter.device == device;
    });
    return found == summaries_.end() ? nullptr : &*found;
  }
  const std::vector<CounterSummary>& summaries() { return summaries_ = collector_.summaries(); }

  nvml::fake::SimulatedClock& clock() { return *clock_; }
  const nvml::fake::Control& control() const { return control_; }
  const std::vector<NvmlGpu>& gpus() const { return gpus_; }
  std::vector<std::unique_ptr<SourceSampler>>& samplers() { return samplers_; }

 private:
  static constexpr Nanoseconds commit_period = std::chrono::milliseconds(500);

  Nanoseconds lateness() {
    if (!is_late_) return Nanoseconds(0);
    return from_seconds(5e-5 * late_(random_) + (seldom_(random_) ? 3e-3 * late_(random_) : 0));
  }
  void commit() {
    for (auto& sampler : samplers_) collector_.drain(*sampler);
    collector_.commit();
    committed_ = clock_->now();
  }

  nvml::fake::Control control_;
  std::unique_ptr<nvml::fake::SimulatedClock> clock_;
  std::shared_ptr<const nvml::Library> library_;
  std::vector<NvmlGpu> gpus_;
  std::vector<std::unique_ptr<SourceSampler>> samplers_;
  Collector collector_;
  Nanoseconds committed_{0};
  bool is_late_ = false;
  std::mt19937 random_{1};
  std::exponential_distribution<double> late_{1};
  std::bernoulli_distribution seldom_{0.002};
  std::vector<CounterSummary> summaries_;
};

}  // namespace batchscope
