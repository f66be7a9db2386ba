// The protocol's experiment of GPM's samples (telemetry/calibration/experiments.h).
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "telemetry/calibration/experiments.h"
#include "telemetry/calibration/refresh.h"
#include "telemetry/nvml/gpm.h"

namespace batchscope::calibration {
namespace {

using std::chrono::milliseconds;

constexpr Nanoseconds close_distance = milliseconds(5), surely_renewed = milliseconds(500);

// How busy the multiprocessors were between two samples, as GPM has it.
class SmShare {
 public:
  nvml::Return between(const nvml::GpmSnapshot& first, const nvml::GpmSnapshot& second, double& share) {
    request_->count = 1;
    request_->metrics[0] = {.id = nvml::gpm_sm_util};
    if (const auto result = second.metrics_since(first, *request_); result != nvml::success) return result;
    share = request_->metrics[0].value / 100;
    return std::isfinite(share) ? request_->metrics[0].result : nvml::no_data;
  }

 private:
  std::unique_ptr<nvml::GpmMetrics> request_ = std::make_unique<nvml::GpmMetrics>();
};

// Each reading is of the sample that it takes and the one before.
class SamplePair {
 public:
  explicit SamplePair(const Bench& bench) : bench_(bench), earlier_(bench.nvml), later_(bench.nvml) {
    earlier_.take(bench.gpu.device);
  }
  nvml::Return next(double& share) {
    nvml::GpmSnapshot& taken = is_odd_ ? earlier_ : later_;
    const nvml::GpmSnapshot& before = is_odd_ ? later_ : earlier_;
    is_odd_ = !is_odd_;
    if (const auto result = taken.take(bench_.gpu.device); result != nvml::success) return result;
    return share_.between(before, taken, share);
  }

 private:
  const Bench& bench_;
  nvml::GpmSnapshot earlier_, later_;
  bool is_odd_ = false;
  SmShare share_;
};

// Under a steady load: what all pairs of `count` samples say, whose gaps are whole multiples of the distance.
std::vector<GapValue> pairs_by_gap(const Bench& bench, int count) {
  std::vector<nvml::GpmSnapshot> samples;
  Nanoseconds next = bench.clock.now();
  for (int i = 0; i < count; ++i) {
    samples.emplace_back(bench.nvml);
    bench.clock.sleep_until(next);
    samples.back().take(bench.gpu.device);
    next += close_distance;
  }
  SmShare share;
  std::vector<GapValue> values;
  for (int gap = 1; gap < count * 3 / 4; ++gap)
    for (int first = 0; first + gap < count; first += 3) {
      double value = 0;
      const auto at = [&](int i) -> const nvml::GpmSnapshot& { return samples[static_cast<std::size_t>(i)]; };
      if (share.between(at(first), at(first + gap), value) == nvml::success)
        values.push_back({.gap = gap * to_seconds(close_distance), .value = value});
    }
  return values;
}

}  // namespace

void Experiments::gpm() {
  if (!ids_.contains(gpm_id)) return;
  bench_.say("GPM");
  CalibratedCounter& result = results_[gpm_id] = {"gpu_sm_active_ratio", "nvmlGpmMetricsGet", "ratio"};
  const auto absent = [&](Properties properties, const std::string& why) {
    for (const char* property : properties) result.properties[property] = Estimate::absent(why);
  };
  SamplePair pair(bench_);
  const NvmlCounter counter{gpm_id, result.name, result.call, result.unit,
                            [&](double& share) { return pair.next(share); }};
  bench_.clock.sleep_until(bench_.clock.now() + surely_renewed);
  double ignored = 0;
  if (const auto answer = counter.read(ignored); answer != nvml::success)
    return absent({property::refresh, property::read_cost, property::read_cost_p99, property::cpu_cost, property::gain},
                  nvml::reason_of(answer));
  const ReadCost cost = try_reading(bench_, counter).cost;
  result.properties[property::read_cost] = cost.p50;
  result.properties[property::read_cost_p99] = cost.p99;
  result.properties[property::cpu_cost] = cost.cpu;
  if (const auto no_load = bench_.loads.cannot(LoadKind::burn))
    return absent({property::refresh, property::gain}, no_load_text(LoadKind::burn, *no_load));

  const NvmlCounter* const only[] = {&counter};
  const auto close = observe(
      bench_,
      {.kind = LoadKind::burn, .busy = milliseconds(30), .idle = milliseconds(20), .cycles = 80, .uneven = true}, only,
      close_distance, {});
  Estimate& refresh = result.properties[property::refresh];
  refresh = clock_period(renewals_of(close.series[0]), to_seconds(close_distance) / 2);
  if (!refresh.value) {  // samples that are always new; but are they right?
    constexpr int samples = 80;
    bench_.loads.prepare({.kind = LoadKind::burn, .busy = (samples + 20) * close_distance});
    bench_.loads.start();
    bench_.clock.sleep_until(bench_.clock.now() + 10 * close_distance);
    const auto pairs = pairs_by_gap(bench_, samples);
    bench_.loads.finish();
    refresh = shortest_sound_gap(pairs);
  }

  // Pairs that are far enough apart, while all multiprocessors are at work.
  const Nanoseconds apart = refresh.value ? from_seconds(2.5 * *refresh.value) : surely_renewed;
  const auto far = observe(bench_, {.kind = LoadKind::burn, .busy = std::chrono::seconds(4)}, only, apart, {});
  std::vector<double> shares;
  for (const TimedValue& reading : far.series[0])
    if (reading.value && reading.before > far.run.bursts[0].begin + 2 * apart && reading.after < far.run.bursts[0].end)
      shares.push_back(*reading.value);
  if (shares.size() < 4) return absent({property::gain}, "too few values under load");
  result.properties[property::gain] = {.value = median(shares),
                                       .uncertainty = (quantile(shares, 0.84) - quantile(shares, 0.16)) / 2,
                                       .n = static_cast<std::int64_t>(shares.size()),
                                       .how = "multiprocessors said to be active while all of them are"};
}

}  // namespace batchscope::calibration
