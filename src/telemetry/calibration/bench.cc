// Reading beside a load (telemetry/calibration/bench.h).
#include "telemetry/calibration/bench.h"

#include <algorithm>

namespace batchscope::calibration {
namespace {

constexpr int most_calls = 300, fewest_calls = 20;
constexpr Nanoseconds enough = std::chrono::milliseconds(300);  // of one counter's calls

void read_all(const Bench& bench, std::span<const NvmlCounter* const> counters, std::vector<Series>& series) {
  for (std::size_t i = 0; i < counters.size(); ++i) series[i].push_back(read_now(bench, *counters[i]));
}

// Reads once a period, as long as `more` says so; deadlines that have passed are left out.
template <class More>
void poll(const Bench& bench, std::span<const NvmlCounter* const> counters, Nanoseconds period,
          std::vector<Series>& series, const More& more) {
  Nanoseconds next = bench.clock.now();
  while (more()) {
    read_all(bench, counters, series);
    next = std::max(next + period, bench.clock.now());
    bench.clock.sleep_until(next);
  }
}

}  // namespace

TimedValue read_now(const Bench& bench, const NvmlCounter& counter) {
  TimedValue reading{.before = bench.clock.now()};
  double value = 0;
  if (counter.read(value) == nvml::success) reading.value = value;
  reading.after = bench.clock.now();
  return reading;
}

Tried try_reading(const Bench& bench, const NvmlCounter& counter) {
  double value = 0;
  if (const nvml::Return result = counter.read(value); result != nvml::success)
    return {.cost = read_cost({}), .refusal = nvml::reason_of(result)};
  std::vector<CallCost> calls;
  const Nanoseconds begin = bench.clock.now();
  for (int i = 0; i < most_calls && (i < fewest_calls || bench.clock.now() < begin + enough); ++i) {
    const Nanoseconds before = bench.clock.now(), cpu = thread_cpu_time();
    counter.read(value);
    calls.push_back({.wall = bench.clock.now() - before, .cpu = thread_cpu_time() - cpu});
  }
  return {.cost = read_cost(calls)};
}

Observation observe(const Bench& bench, const Load& load, std::span<const NvmlCounter* const> counters,
                    Nanoseconds period, Nanoseconds tail) {
  Observation observation;
  observation.series.resize(counters.size());
  bench.loads.prepare(load);
  read_all(bench, counters, observation.series);
  bench.loads.start();
  poll(bench, counters, period, observation.series, [&] { return bench.loads.running(); });
  observation.run = bench.loads.finish();
  const Nanoseconds end = bench.clock.now() + tail;
  poll(bench, counters, period, observation.series, [&] { return bench.clock.now() < end; });
  read_all(bench, counters, observation.series);
  return observation;
}

std::vector<Series> watch(const Bench& bench, std::span<const NvmlCounter* const> counters, Nanoseconds period,
                          Nanoseconds duration) {
  std::vector<Series> series(counters.size());
  const Nanoseconds end = bench.clock.now() + duration;
  poll(bench, counters, period, series, [&] { return bench.clock.now() < end; });
  return series;
}

RingReader::RingReader(const Bench& bench, const RingCounter& counter)
    : bench_(bench), counter_(counter), wall_offset_(bench.wall() - bench.clock.now()) {}

nvml::Return RingReader::drain() {
  nvml::ValueType type = nvml::value_unsigned_int;
  std::uint32_t count = 0;
  const auto read = [&](nvml::Sample* samples) {
    return bench_.nvml->nvmlDeviceGetSamples(bench_.gpu.device, counter_.type, last_us_, &type, &count, samples);
  };
  if (const nvml::Return result = read(nullptr); result != nvml::success)
    return result == nvml::not_found ? nvml::success : result;  // nothing since then
  buffer_.resize(count);
  const nvml::Return result = count == 0 ? nvml::success : read(buffer_.data());
  if (result != nvml::success) return result == nvml::not_found ? nvml::success : result;
  for (std::uint32_t i = 0; i < count && i < buffer_.size(); ++i) {
    const nvml::Sample& sample = buffer_[i];
    if (sample.timestamp_us <= last_us_) continue;
    last_us_ = sample.timestamp_us;
    const Nanoseconds instant = std::chrono::microseconds(sample.timestamp_us) - wall_offset_;
    samples_.push_back(
        {.before = instant, .after = instant, .value = counter_.scale * nvml::number_of(sample.value, type)});
  }
  return nvml::success;
}

}  // namespace batchscope::calibration
