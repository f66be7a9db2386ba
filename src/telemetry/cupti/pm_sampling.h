// PM sampling of one GPU: the hardware writes its counters into a buffer at a fixed interval, whoever's kernels run; we
// decode the buffer from time to time. CUPTI allows one such session a GPU.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "telemetry/cupti/library.h"

namespace batchscope::cupti {

// What is sampled: a metric of CUPTI, of which the first that the chip has is taken.
struct PmMetric {
  const char* quantity;                 // "sm_active"
  std::vector<const char*> candidates;  // CUPTI's names
};

class PmSampling {
 public:
  // `device` is CUDA's ordinal, `most_samples` how many are decoded at a time (the buffer for them is cleared each time,
  // at 5 us a sample). Throws Failure with the reason when it cannot be: privilege, another profiler, …
  PmSampling(std::shared_ptr<const Library> library, std::size_t device, std::span<const PmMetric> metrics,
             Nanoseconds interval, std::uint32_t most_samples);
  ~PmSampling();
  PmSampling(const PmSampling&) = delete;
  PmSampling& operator=(const PmSampling&) = delete;

  // Which of the metrics are sampled, by their place in the list: what the chip lacks is left out.
  const std::vector<std::size_t>& sampled() const { return sampled_; }

  struct Sample {
    Nanoseconds begin{0}, end{0};      // on the GPU's clock
    std::span<const double> values{};  // of sampled()
  };
  // Hands out what the hardware has written since the last call, in order; the session's first sample, which is
  // garbage, is left out. Returns true when the buffer overflowed: samples were lost. Throws Failure.
  bool decode(const std::function<void(const Sample&)>& take);

 private:
  Host make_host() const;
  void end(Host host) const;
  void configure(std::span<const PmMetric> metrics);
  void clear_counter_data();

  std::shared_ptr<const Library> library_;
  // CUPTI copies none of what it is given: all of it lives as long as the session.
  const char* chip_ = nullptr;
  std::vector<std::uint8_t> availability_, config_;
  Host host_ = nullptr;
  Sampling sampling_ = nullptr;
  std::vector<std::size_t> sampled_;
  std::vector<const char*> names_;  // of sampled()
  std::vector<std::uint8_t> counter_data_;
  std::vector<double> values_;
  bool is_first_ = true;
};

}  // namespace batchscope::cupti
