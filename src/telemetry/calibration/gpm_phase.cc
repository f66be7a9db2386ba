// The protocol's phase of GPM's samples (telemetry/calibration/phases.h).
#include <memory>

#include "telemetry/calibration/phases.h"
#include "telemetry/calibration/refresh.h"

namespace batchscope::calibration {
namespace {

using std::chrono::milliseconds;

constexpr Nanoseconds pair_distance = milliseconds(5), surely_renewed = milliseconds(500);

// Two of the driver's sample buffers, the later one always read next.
class SamplePair {
 public:
  explicit SamplePair(const Bench& bench) : bench_(bench) {
    for (nvml::GpmSample& sample : samples_)
      if (allocated_ == nvml::success) allocated_ = bench_.nvml->nvmlGpmSampleAlloc(&sample);
  }
  ~SamplePair() {
    for (const nvml::GpmSample sample : samples_)
      if (sample != nullptr) bench_.nvml->nvmlGpmSampleFree(sample);
  }
  SamplePair(const SamplePair&) = delete;
  SamplePair& operator=(const SamplePair&) = delete;

  // Takes a sample; `share` is how busy the multiprocessors were since the one before, as GPM has it.
  nvml::Return next(double& share) {
    if (allocated_ != nvml::success) return allocated_;
    std::swap(samples_[0], samples_[1]);
    if (const auto result = bench_.nvml->nvmlGpmSampleGet(bench_.gpu.device, samples_[1]); result != nvml::success)
      return result;
    if (!has_previous_) {
      has_previous_ = true;
      return nvml::no_data;
    }
    request_->count = 1;
    request_->first = samples_[0];
    request_->second = samples_[1];
    request_->metrics[0] = {.id = nvml::gpm_sm_util};
    if (const auto result = bench_.nvml->nvmlGpmMetricsGet(request_.get()); result != nvml::success) return result;
    share = request_->metrics[0].value / 100;
    return request_->metrics[0].result;
  }

 private:
  const Bench& bench_;
  nvml::Return allocated_ = nvml::success;
  nvml::GpmSample samples_[2] = {};
  bool has_previous_ = false;
  std::unique_ptr<nvml::GpmMetrics> request_ = std::make_unique<nvml::GpmMetrics>();
};

}  // namespace

void Phases::gpm() {
  if (!ids_.contains(gpm_id)) return;
  bench_.say("GPM");
  CalibratedCounter& result = results_[gpm_id] = {"gpu_sm_active_ratio", "nvmlGpmMetricsGet", "ratio"};
  const auto absent = [&](const std::string& why) {
    for (const char* property : {property::refresh, property::read_cost, property::cpu_cost, property::gain})
      result.properties[property] = Estimate::absent(why);
  };
  SamplePair pair(bench_);
  const NvmlCounter counter{gpm_id, result.name, result.call, result.unit,
                            [&](double& share) { return pair.next(share); }};
  double ignored = 0;
  counter.read(ignored);  // the first has none before it
  bench_.clock.sleep_until(bench_.clock.now() + surely_renewed);
  if (const auto answer = counter.read(ignored); answer != nvml::success) return absent(nvml::reason_of(answer));
  const Tried tried = try_reading(bench_, counter);
  result.properties[property::read_cost] = tried.cost.p50;
  result.properties[property::read_cost_p99] = tried.cost.p99;
  result.properties[property::cpu_cost] = tried.cost.cpu;
  if (const auto no_load = bench_.loads.cannot(LoadKind::burn)) {
    for (const char* property : {property::refresh, property::gain})
      result.properties[property] = Estimate::absent(no_load_text(LoadKind::burn, *no_load));
    return;
  }
  const NvmlCounter* const only[] = {&counter};
  const auto close =
      observe(bench_, {.kind = LoadKind::burn, .busy = std::chrono::seconds(4)}, only, pair_distance, {});
  std::size_t present = 0;
  for (const TimedValue& reading : close.series[0]) present += reading.value ? 1 : 0;
  const auto instants = renewals_of(close.series[0]);
  Estimate& refresh = result.properties[property::refresh];
  if (present > 0 && static_cast<double>(instants.size()) > 0.8 * static_cast<double>(present))
    refresh = Estimate::absent("samples 5 ms apart all had something new");
  else
    refresh = tick_period(instants, to_seconds(pair_distance) / 2);

  // Pairs that are far enough apart, while all multiprocessors are at work.
  const Nanoseconds apart = refresh.value ? from_seconds(2.5 * *refresh.value) : surely_renewed;
  const auto far = observe(bench_, {.kind = LoadKind::burn, .busy = std::chrono::seconds(4)}, only, apart, {});
  std::vector<double> shares;
  for (const TimedValue& reading : far.series[0])
    if (reading.value && reading.before > far.run.bursts[0].begin + apart + apart &&
        reading.after < far.run.bursts[0].end)
      shares.push_back(*reading.value);
  if (shares.size() < 4) {
    result.properties[property::gain] = Estimate::absent("too few values under load");
    return;
  }
  result.properties[property::gain] = {.value = median(shares),
                                       .uncertainty = (quantile(shares, 0.84) - quantile(shares, 0.16)) / 2,
                                       .n = static_cast<std::int64_t>(shares.size()),
                                       .how = "multiprocessors said to be active while all of them are"};
}

}  // namespace batchscope::calibration
