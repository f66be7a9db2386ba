// A session of PM sampling (telemetry/cupti/pm_sampling.h).
#include "telemetry/cupti/pm_sampling.h"

#include <utility>

#include "base/error.h"

namespace batchscope::cupti {
namespace {

constexpr std::size_t hardware_buffer_bytes = 256 << 20;

// What the hardware has to be told to sample the metrics; nothing where the chip cannot, or not all at once.
std::vector<std::uint8_t> configuration_of(const Library& library, Host host, std::vector<const char*>& names) {
  ConfigAddMetrics add;
  add.host = host;
  add.names = names.data();
  add.count = names.size();
  ConfigImageSize size;
  size.host = host;
  if (library.try_call(&Functions::cuptiProfilerHostConfigAddMetrics, add) != success ||
      library.try_call(&Functions::cuptiProfilerHostGetConfigImageSize, size) != success)
    return {};
  std::vector<std::uint8_t> config(size.bytes);
  ConfigImage image;
  image.host = host;
  image.bytes = config.size();
  image.image = config.data();
  if (library.try_call(&Functions::cuptiProfilerHostGetConfigImage, image) != success) return {};
  Passes passes;
  passes.bytes = config.size();
  passes.image = config.data();
  if (library.try_call(&Functions::cuptiProfilerHostGetNumOfPasses, passes) != success || passes.passes != 1) return {};
  return config;
}

}  // namespace

PmSampling::PmSampling(std::shared_ptr<const Library> library, std::size_t device, std::span<const PmMetric> metrics,
                       Nanoseconds interval, std::uint32_t most_samples)
    : library_(std::move(library)) {
  ChipName chip;
  chip.device = device;
  library_->call(&Functions::cuptiDeviceGetChipName, chip, "cuptiDeviceGetChipName");

  CounterAvailability availability;
  availability.device = device;
  library_->call(&Functions::cuptiPmSamplingGetCounterAvailability, availability, "counters of the GPU");
  availability_.resize(availability.bytes);
  availability.image = availability_.data();
  library_->call(&Functions::cuptiPmSamplingGetCounterAvailability, availability, "counters of the GPU");

  chip_ = chip.name;
  configure(metrics);

  Enable enable;
  enable.device = device;
  library_->call(&Functions::cuptiPmSamplingEnable, enable, "PM sampling");
  sampling_ = enable.sampling;
  SetConfig set;
  set.sampling = sampling_;
  set.config = config_.data();
  set.config_bytes = config_.size();
  set.hardware_buffer_bytes = hardware_buffer_bytes;
  set.interval = static_cast<std::uint64_t>(interval.count());
  library_->call(&Functions::cuptiPmSamplingSetConfig, set, "configuration of PM sampling");

  CounterDataSize size;
  size.sampling = sampling_;
  size.names = names_.data();
  size.count = names_.size();
  size.most_samples = most_samples;
  library_->call(&Functions::cuptiPmSamplingGetCounterDataSize, size, "buffer of PM sampling");
  counter_data_.resize(size.bytes);
  values_.resize(names_.size());
  clear_counter_data();

  OfSampling start;
  start.sampling = sampling_;
  library_->call(&Functions::cuptiPmSamplingStart, start, "start of PM sampling");
}

PmSampling::~PmSampling() {
  OfSampling of;
  of.sampling = sampling_;
  if (sampling_ != nullptr) {
    library_->try_call(&Functions::cuptiPmSamplingStop, of);
    library_->try_call(&Functions::cuptiPmSamplingDisable, of);
  }
  end(host_);
}

Host PmSampling::make_host() const {
  HostInitialize host;
  host.chip = chip_;
  host.counter_availability = availability_.data();
  library_->call(&Functions::cuptiProfilerHostInitialize, host, "metrics of the GPU");
  return host.host;
}

void PmSampling::end(Host host) const {
  HostDeinitialize of;
  of.host = host;
  if (host != nullptr) library_->try_call(&Functions::cuptiProfilerHostDeinitialize, of);
}

// One metric after the other is tried beside those that were taken: a chip may lack one, or have no room for it.
void PmSampling::configure(std::span<const PmMetric> metrics) {
  for (std::size_t i = 0; i < metrics.size(); ++i)
    for (const char* candidate : metrics[i].candidates) {
      std::vector<const char*> names = names_;
      names.push_back(candidate);
      const Host host = make_host();
      std::vector<std::uint8_t> with = configuration_of(*library_, host, names);
      if (with.empty()) {
        end(host);
        continue;
      }
      end(std::exchange(host_, host));
      config_ = std::move(with);
      names_ = std::move(names);
      sampled_.push_back(i);
      break;
    }
  if (names_.empty()) throw Failure("CUPTI cannot sample any of the metrics that we know on {}", chip_);
}

void PmSampling::clear_counter_data() {
  CounterDataInitialize initialize;
  initialize.sampling = sampling_;
  initialize.bytes = counter_data_.size();
  initialize.counter_data = counter_data_.data();
  library_->call(&Functions::cuptiPmSamplingCounterDataImageInitialize, initialize, "buffer of PM sampling");
}

bool PmSampling::decode(const std::function<void(const Sample&)>& take) {
  bool overflowed = false;
  while (true) {
    Decode decode;
    decode.sampling = sampling_;
    decode.counter_data = counter_data_.data();
    decode.counter_data_bytes = counter_data_.size();
    library_->call(&Functions::cuptiPmSamplingDecodeData, decode, "decoding of PM samples");
    overflowed = overflowed || decode.overflow != 0;
    CounterDataInfo info;
    info.counter_data = counter_data_.data();
    info.counter_data_bytes = counter_data_.size();
    library_->call(&Functions::cuptiPmSamplingGetCounterDataInfo, info, "decoding of PM samples");
    for (std::size_t i = 0; i < info.completed; ++i) {
      SampleInfo sample;
      sample.sampling = sampling_;
      sample.counter_data = counter_data_.data();
      sample.counter_data_bytes = counter_data_.size();
      sample.sample = i;
      library_->call(&Functions::cuptiPmSamplingCounterDataGetSampleInfo, sample, "time of a PM sample");
      if (std::exchange(is_first_, false)) continue;
      Evaluate evaluate;
      evaluate.host = host_;
      evaluate.counter_data = counter_data_.data();
      evaluate.counter_data_bytes = counter_data_.size();
      evaluate.sample = i;
      evaluate.names = names_.data();
      evaluate.count = names_.size();
      evaluate.values = values_.data();
      library_->call(&Functions::cuptiProfilerHostEvaluateToGpuValues, evaluate, "values of a PM sample");
      take({.begin = Nanoseconds(static_cast<std::int64_t>(sample.begin_ns)),
            .end = Nanoseconds(static_cast<std::int64_t>(sample.end_ns)),
            .values = values_});
    }
    if (info.completed > 0) clear_counter_data();
    if (decode.stop != counter_data_full) return overflowed;
  }
}

}  // namespace batchscope::cupti
