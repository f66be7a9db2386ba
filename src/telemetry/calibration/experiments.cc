// What the protocol's experiments share, and those of single counters on the GPU itself
// (telemetry/calibration/experiments.h).
#include "telemetry/calibration/experiments.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>

#include "telemetry/calibration/gain.h"
#include "telemetry/calibration/refresh.h"

namespace batchscope::calibration {
namespace {

using std::chrono::milliseconds;

constexpr int ticks_a_drain = 100;

void take_cost(CalibratedCounter& counter, const ReadCost& cost) {
  counter.properties[property::read_cost] = cost.p50;
  counter.properties[property::read_cost_p99] = cost.p99;
  counter.properties[property::cpu_cost] = cost.cpu;
}

// About `cycles` quarters of a second in which the GPU is at work less than half of the time.
Load coming_and_going(int cycles) {
  return {
      .kind = LoadKind::burn, .busy = milliseconds(110), .idle = milliseconds(140), .cycles = cycles, .uneven = true};
}

// Joules by the energy counter for each joule that the power gauge's readings add up to, between two changes of the
// former.
Estimate energy_gain(const Series& energy, const Series& power) {
  const auto changes = changes_of(energy);
  if (changes.size() < 3) return Estimate::absent("its value hardly changed");
  const Change &first = changes.front(), &last = changes.back();
  double joules = 0;
  std::int64_t n = 0;
  const TimedValue* before = nullptr;
  for (const TimedValue& reading : power) {
    if (!reading.value || reading.middle() < first.middle || reading.middle() > last.middle) continue;
    if (before != nullptr)
      joules += (*reading.value + *before->value) / 2 * to_seconds(reading.middle() - before->middle());
    before = &reading;
    ++n;
  }
  if (joules <= 0) return Estimate::absent("power could not be read beside it");
  const double counted = last.value - first.value;
  return {.value = counted / joules,
          .uncertainty = counted / joules * to_seconds(first.half_width + last.half_width) /
                         to_seconds(last.middle - first.middle),
          .n = n,
          .how = "against the power gauge's own readings, added up; the gauge's error is not in it"};
}

}  // namespace

Experiments::Experiments(const Bench& bench, const std::set<std::string>& ids)
    : bench_(bench), counters_(single_counters(bench.nvml, bench.gpu.device)), ids_(ids) {
  bench_.say("cost of reading");
  for (const NvmlCounter& counter : counters_) {
    if (!ids_.contains(counter.id)) continue;
    CalibratedCounter& result = results_[counter.id] = {counter.name, counter.call, counter.unit};
    const Tried tried = try_reading(bench_, counter);
    take_cost(result, tried.cost);
    if (tried.refusal == nullptr)
      cost_[counter.id] = *tried.cost.p50.value;
    else
      give_up({&counter},
              {property::read_cost, property::read_cost_p99, property::cpu_cost, property::refresh, property::gain},
              tried.refusal);
  }
}

Experiments::Counters Experiments::wanted(std::initializer_list<const char*> ids) const {
  Counters found;
  for (const NvmlCounter& counter : counters_)
    if (cost_.contains(counter.id) && std::find(ids.begin(), ids.end(), counter.id) != ids.end())
      found.push_back(&counter);
  return found;
}

void Experiments::give_up(const Counters& counters, Properties properties, const std::string& why) {
  for (const NvmlCounter* counter : counters)
    for (const char* property : properties) result(counter->id, property) = Estimate::absent(why);
}

std::string Experiments::no_load_text(LoadKind kind, const std::string& reason) {
  return fmt::format("no {} to compare it with: {}", name_of(kind), reason);
}

bool Experiments::can_run(LoadKind kind, const Counters& counters, Properties properties) {
  if (counters.empty()) return false;
  const auto reason = bench_.loads.cannot(kind);
  if (reason) give_up(counters, properties, no_load_text(kind, *reason));
  return !reason;
}

Nanoseconds Experiments::period_of(const Counters& counters) const {
  double seconds = 0;
  for (const NvmlCounter* counter : counters) seconds += cost_.at(counter->id);
  return std::max<Nanoseconds>(milliseconds(1), from_seconds(1.1 * seconds));
}

// When within its call a counter is read is not known.
void Experiments::take_lag(const std::string& id, Estimate lag) {
  if (const auto cost = results_.at(id).value(property::read_cost); cost && lag.value)
    lag.uncertainty = std::hypot(lag.uncertainty, *cost / std::sqrt(12.0));
  result(id, property::lag) = std::move(lag);
}

void Experiments::take_window(const std::string& id, const WindowFit& fit, double full, const char* why_no_gain) {
  result(id, property::window) = fit.window;
  take_lag(id, fit.lag);
  result(id, property::idle) = fit.idle;
  Estimate gain = fit.gain;
  if (full > 0 && gain.value) {
    *gain.value /= full;
    gain.uncertainty /= full;
  }
  result(id, property::gain) = full > 0 || !gain.value ? gain : Estimate::absent(why_no_gain);
}

constexpr const char* no_true_power = "the power that the load really draws is not known";

// Those of the driver's rings that are wanted and can be read.
struct Experiments::Rings {
  std::vector<RingCounter> counters;
  std::deque<RingReader> readers;   // one a counter; they stay where they are
  std::vector<NvmlCounter> drains;  // likewise: drain it now and then, when they are read with other counters
};

Experiments::Rings Experiments::open_rings() {
  Rings rings;
  for (const RingCounter& ring : ring_counters()) {
    if (!ids_.contains(ring.id)) continue;
    CalibratedCounter& result = results_[ring.id] = {ring.name, ring.call, ring.unit};
    RingReader& reader = rings.readers.emplace_back(bench_, ring);
    const Tried tried =
        try_reading(bench_, {ring.id, ring.name, ring.call, ring.unit, [&](double&) { return reader.drain(); }});
    take_cost(result, tried.cost);
    if (tried.refusal != nullptr) {
      for (const char* property : {property::refresh, property::window, property::lag, property::gain})
        result.properties[property] = Estimate::absent(tried.refusal);
      rings.readers.pop_back();
      continue;
    }
    rings.counters.push_back(ring);
    rings.drains.push_back({ring.id, ring.name, ring.call, ring.unit, [&reader, tick = 0](double&) mutable {
                              return tick++ % ticks_a_drain == 0 ? reader.drain() : nvml::success;
                            }});
  }
  return rings;
}

void Experiments::kernels() {
  const Counters counters = wanted({"utilization", "power", "sm_clock", "memory_clock"});
  Rings rings = open_rings();
  if (counters.empty() && rings.counters.empty()) return;
  bench_.say("utilisation, power and clocks, under an intermittent kernel");

  Observation observed;
  if (const auto no_load = bench_.loads.cannot(LoadKind::burn)) {
    // Without a load of ours a gauge has the rhythm of what others do; the rings' stamps are the driver's own.
    give_up(counters, {property::refresh}, no_load_text(LoadKind::burn, *no_load));
    give_up(wanted({"utilization", "power"}), {property::window, property::lag, property::gain},
            no_load_text(LoadKind::burn, *no_load));
  } else {
    Counters read = counters;
    for (const NvmlCounter& drain : rings.drains) read.push_back(&drain);
    observed = observe(bench_, coming_and_going(48), read, period_of(counters), milliseconds(1500));
    for (std::size_t i = 0; i < counters.size(); ++i)
      take_gauge(counters[i]->id, observed.series[i], observed.run.bursts);
  }
  for (std::size_t i = 0; i < rings.counters.size(); ++i) {
    rings.readers[i].drain();
    take_ring(rings.counters[i], rings.readers[i], observed.run.bursts);
  }
}

void Experiments::take_gauge(const std::string& id, const Series& series, std::span<const Burst> bursts) {
  const Estimate refresh = result(id, property::refresh) = refresh_period(series);
  if (id != "utilization" && id != "power") return;  // a clock is no mean of the load
  const WindowFit fit = fit_window(refresh.value ? points_at_changes(series) : points_at_readings(series), bursts);
  take_window(id, fit, id == "utilization" ? 1 : 0, no_true_power);
}

void Experiments::take_ring(const RingCounter& ring, const RingReader& reader, std::span<const Burst> bursts) {
  if (reader.samples().empty()) {
    result(ring.id, property::refresh) = Estimate::absent("the driver's ring is empty");
    return;
  }
  std::vector<double> stamps;
  for (const TimedValue& sample : reader.samples()) stamps.push_back(to_seconds(sample.before));
  result(ring.id, property::refresh) = clock_period(stamps, 1e-6);
  if (bursts.empty()) return;
  Series since = reader.samples();  // what was before the load is not known
  std::erase_if(since, [&](const TimedValue& sample) { return sample.before < bursts.front().begin; });
  const WindowFit fit = fit_window(points_at_readings(since), bursts);
  take_window(ring.id, fit, ring.type == nvml::samples_gpu_utilization ? 1 : 0, no_true_power);
}

void Experiments::energy() {
  const Counters energy = wanted({"energy"});
  if (energy.empty()) return;
  bench_.say("energy");
  const NvmlCounter* power = nullptr;
  for (const NvmlCounter& counter : counters_)
    if (counter.id == "power") power = &counter;
  const Counters read{energy[0], power};
  const Nanoseconds period = period_of(energy);
  if (const auto no_load = bench_.loads.cannot(LoadKind::burn)) {
    const auto series = watch(bench_, read, period, std::chrono::seconds(6));
    result("energy", property::refresh) = refresh_period(series[0]);
    result("energy", property::gain) = energy_gain(series[0], series[1]);
    give_up(energy, {property::lag}, no_load_text(LoadKind::burn, *no_load));
    return;
  }
  const auto observed = observe(bench_, coming_and_going(24), read, period, milliseconds(500));
  const Estimate refresh = result("energy", property::refresh) = refresh_period(observed.series[0]);
  result("energy", property::gain) = energy_gain(observed.series[0], observed.series[1]);
  take_lag("energy",
           fit_window(points_of_rates(observed.series[0], refresh.value.has_value()), observed.run.bursts).lag);
}

void Experiments::memory() {
  const Counters memory = wanted({"memory"});
  if (!can_run(LoadKind::allocation, memory, {property::refresh, property::lag, property::gain})) return;
  bench_.say("memory, under allocations");
  std::vector<Measured> measured;
  Series all;
  std::vector<Nanoseconds> steps;
  for (const std::int64_t size : {64 * MiB, 256 * MiB, 1024 * MiB, 2048 * MiB}) {
    const auto observed = observe(bench_,
                                  {.kind = LoadKind::allocation,
                                   .bytes = size,
                                   .busy = milliseconds(60),
                                   .idle = milliseconds(60),
                                   .cycles = 5,
                                   .uneven = true},
                                  memory, period_of(memory), milliseconds(50));
    std::vector<double> during, without;
    for (const TimedValue& reading : observed.series[0]) {
      if (!reading.value) continue;
      const auto burst = std::find_if(observed.run.bursts.begin(), observed.run.bursts.end(), [&](const Burst& held) {
        return reading.middle() >= held.begin && reading.middle() <= held.end;
      });
      (burst != observed.run.bursts.end() ? during : without).push_back(*reading.value);
    }
    if (!during.empty() && !without.empty())
      measured.push_back({.bytes = static_cast<double>(size), .counted = median(during) - median(without)});
    all.insert(all.end(), observed.series[0].begin(), observed.series[0].end());
    for (const Burst& burst : observed.run.bursts) steps.push_back(burst.begin);
  }
  result("memory", property::gain) = gain(measured);
  result("memory", property::lag) = step_lag(all, steps);
  const Estimate lag = result("memory", property::lag);
  result("memory", property::refresh) =
      lag.value && *lag.value < 2 * to_seconds(period_of(memory))
          ? Estimate::absent("it follows an allocation at the next reading: it is renewed at least that often")
          : refresh_period(all);
}

}  // namespace batchscope::calibration
