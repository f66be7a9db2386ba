// A session of PM sampling (telemetry/cupti/pm_sampling.h).
#include "telemetry/cupti/pm_sampling.h"

#include <set>

#include "base/error.h"

namespace batchscope::cupti {
namespace {

constexpr std::size_t hardware_buffer_bytes = 256 << 20;
constexpr std::uint32_t most_samples = 4096;  // decoded at a time

// "sm__cycles_active" of "sm__cycles_active.avg.pct_of_peak_sustained_elapsed".
std::string base_of(const char* metric) {
  const std::string name(metric);
  return name.substr(0, name.find('.'));
}

}  // namespace

PmSampling::PmSampling(std::shared_ptr<const Library> library, std::size_t device, std::span<const PmMetric> metrics,
                       Nanoseconds interval)
    : library_(std::move(library)) {
  ChipName chip;
  chip.device = device;
  library_->call(&Functions::cuptiDeviceGetChipName, chip, "cuptiDeviceGetChipName");

  CounterAvailability availability;
  availability.device = device;
  library_->call(&Functions::cuptiPmSamplingGetCounterAvailability, availability, "counters of the GPU");
  std::vector<std::uint8_t> image(availability.bytes);
  availability.image = image.data();
  library_->call(&Functions::cuptiPmSamplingGetCounterAvailability, availability, "counters of the GPU");

  HostInitialize host;
  host.chip = chip.name;
  host.counter_availability = image.data();
  library_->call(&Functions::cuptiProfilerHostInitialize, host, "metrics of the GPU");
  host_ = host.host;
  choose_metrics(metrics);
  const std::vector<std::uint8_t> config = configuration();

  Enable enable;
  enable.device = device;
  library_->call(&Functions::cuptiPmSamplingEnable, enable, "PM sampling");
  sampling_ = enable.sampling;
  SetConfig set;
  set.sampling = sampling_;
  set.config = config.data();
  set.config_bytes = config.size();
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
  HostDeinitialize host;
  host.host = host_;
  if (host_ != nullptr) library_->try_call(&Functions::cuptiProfilerHostDeinitialize, host);
}

void PmSampling::choose_metrics(std::span<const PmMetric> metrics) {
  std::set<std::string> known;
  for (const MetricType type : {metric_counter, metric_ratio, metric_throughput}) {
    BaseMetrics base;
    base.host = host_;
    base.type = type;
    if (library_->try_call(&Functions::cuptiProfilerHostGetBaseMetrics, base) != success) continue;
    for (std::size_t i = 0; i < base.count; ++i) known.insert(base.names[i]);
  }
  for (std::size_t i = 0; i < metrics.size(); ++i)
    for (const char* candidate : metrics[i].candidates)
      if (known.contains(base_of(candidate))) {
        sampled_.push_back(i);
        names_.push_back(candidate);
        break;
      }
  if (names_.empty()) throw Failure("this GPU has none of the metrics that we sample");
}

std::vector<std::uint8_t> PmSampling::configuration() {
  ConfigAddMetrics add;
  add.host = host_;
  add.names = names_.data();
  add.count = names_.size();
  library_->call(&Functions::cuptiProfilerHostConfigAddMetrics, add, "choice of metrics");
  ConfigImageSize size;
  size.host = host_;
  library_->call(&Functions::cuptiProfilerHostGetConfigImageSize, size, "choice of metrics");
  std::vector<std::uint8_t> config(size.bytes);
  ConfigImage image;
  image.host = host_;
  image.bytes = config.size();
  image.image = config.data();
  library_->call(&Functions::cuptiProfilerHostGetConfigImage, image, "choice of metrics");
  Passes passes;
  passes.bytes = config.size();
  passes.image = config.data();
  library_->call(&Functions::cuptiProfilerHostGetNumOfPasses, passes, "choice of metrics");
  if (passes.passes != 1)
    throw Failure("this GPU needs {} passes for the metrics that we sample, and sampling has one", passes.passes);
  return config;
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
