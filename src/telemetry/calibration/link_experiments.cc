// The protocol's experiments of link counters (telemetry/calibration/experiments.h).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "telemetry/calibration/experiments.h"
#include "telemetry/calibration/gain.h"
#include "telemetry/calibration/modulus.h"
#include "telemetry/calibration/refresh.h"

namespace batchscope::calibration {
namespace {

using std::chrono::milliseconds;

constexpr double steady_seconds = 2, long_seconds = 10;
constexpr Nanoseconds tail = milliseconds(20);  // in which the last bytes are counted

std::int64_t transfers_for(double seconds, double rate, std::int64_t bytes) {
  return std::max<std::int64_t>(1, std::llround(seconds * rate / static_cast<double>(bytes)));
}

double payload(const LoadRun& run) { return static_cast<double>(std::max(run.tx_bytes, run.rx_bytes)); }

}  // namespace

double Experiments::rate_of(LoadKind kind) {
  bench_.loads.prepare({.kind = kind, .bytes = 64 * MiB, .transfers = 8});
  bench_.loads.start();
  const LoadRun run = bench_.loads.finish();
  return payload(run) / run.busy_seconds();
}

void Experiments::pcie_bytes() {
  link(wanted({"pcie_rx"}), LoadKind::copy_to_device, true);
  link(wanted({"pcie_tx"}), LoadKind::copy_to_host, true);
}

void Experiments::nvlink_bytes() {
  link(wanted({"nvlink_tx", "nvlink_raw_tx"}), LoadKind::copy_to_peer, false);
  link(wanted({"nvlink_rx", "nvlink_raw_rx"}), LoadKind::copy_from_peer, false);
  all_reduces(wanted({"nvlink_tx", "nvlink_rx"}));
}

void Experiments::link(const Counters& counters, LoadKind kind, bool wraps_are_likely) {
  if (!can_run(kind, counters,
               {property::refresh, property::modulus, property::lag, property::gain, property::per_byte}))
    return;
  bench_.say(fmt::format("bytes of each {}", name_of(kind)));
  const double rate = rate_of(kind);
  find_modulus(counters, kind, rate, wraps_are_likely);
  find_lag(counters, kind, rate);
  find_gain(counters, kind);
}

void Experiments::find_modulus(const Counters& counters, LoadKind kind, double rate, bool wraps_are_likely) {
  // As fast as half a core can: a wrap must not hide between two readings.
  const Nanoseconds period = std::max<Nanoseconds>(milliseconds(1), 2 * period_of(counters));
  for (const double seconds : {steady_seconds, long_seconds}) {
    const auto observed =
        observe(bench_, {.kind = kind, .bytes = 64 * MiB, .transfers = transfers_for(seconds, rate, 64 * MiB)},
                counters, period, tail);
    bool again = false;
    for (std::size_t i = 0; i < counters.size(); ++i) {
      result(counters[i]->id, property::refresh) = refresh_period(observed.series[i]);
      Estimate& found = result(counters[i]->id, property::modulus);
      found = modulus(observed.series[i], payload(observed.run));
      again = again || !found.value;
    }
    if (!again || !wraps_are_likely) return;
  }
}

void Experiments::find_lag(const Counters& counters, LoadKind kind, double rate) {
  const auto observed = observe(bench_,
                                {.kind = kind,
                                 .bytes = 16 * MiB,
                                 .transfers = transfers_for(0.03, rate, 16 * MiB),
                                 .idle = milliseconds(45),
                                 .cycles = 30,
                                 .uneven = true},
                                counters, period_of(counters), tail);
  for (std::size_t i = 0; i < counters.size(); ++i) {
    const std::string& id = counters[i]->id;
    const CalibratedCounter& counter = results_.at(id);
    const auto series = unwrapped(observed.series[i], counter.value(property::modulus));
    if (!series) {
      give_up({counters[i]}, {property::lag}, "the value at which it wraps is unknown");
      continue;
    }
    const auto rates = points_of_rates(*series, counter.value(property::refresh).has_value());
    take_lag(id, fit_window(rates, observed.run.bursts, {.longest_window = 0.1, .longest_lag = 0.1}).lag);
  }
}

std::vector<Measured> Experiments::measure(const Counters& counters, const Load& load) {
  const auto observed =
      observe(bench_, load, counters, std::max<Nanoseconds>(milliseconds(2), period_of(counters)), tail);
  std::vector<Measured> measured;
  for (std::size_t i = 0; i < counters.size(); ++i) {
    Measured one{.bytes = payload(observed.run), .transfers = static_cast<double>(observed.run.transfers)};
    if (const auto series = unwrapped(observed.series[i], results_.at(counters[i]->id).value(property::modulus));
        series && series->front().value && series->back().value) {
      one.counted = *series->back().value - *series->front().value;
      one.seconds = to_seconds(series->back().middle() - series->front().middle());
    }
    measured.push_back(one);
  }
  return measured;
}

void Experiments::find_gain(const Counters& counters, LoadKind kind) {
  // Pauses of different lengths tell what runs by itself from what the transfers cost.
  struct Size {
    std::int64_t bytes, transfers;
    int pause_ms;
    bool is_fitted;
  };
  constexpr Size sizes[] = {{64 * KiB, 1024, 10, true}, {128 * KiB, 1024, 40, false}, {256 * KiB, 512, 80, true},
                            {1 * MiB, 256, 10, true},   {4 * MiB, 128, 20, false},    {16 * MiB, 32, 60, true},
                            {64 * MiB, 16, 10, false},  {128 * MiB, 8, 100, true},    {512 * MiB, 4, 20, true},
                            {1024 * MiB, 2, 30, false}};
  std::vector<std::vector<Measured>> fitted(counters.size()), checked(counters.size());
  for (const Size& size : sizes) {
    const auto measured = measure(counters, {.kind = kind,
                                             .bytes = size.bytes,
                                             .transfers = size.transfers,
                                             .idle = milliseconds(size.pause_ms),
                                             .cycles = 2});
    for (std::size_t i = 0; i < counters.size(); ++i) (size.is_fitted ? fitted : checked)[i].push_back(measured[i]);
  }
  for (std::size_t i = 0; i < counters.size(); ++i) {
    const std::string& id = counters[i]->id;
    const OverheadModel model = fit_overhead(fitted[i], checked[i]);
    result(id, property::per_byte) = model.per_byte;
    result(id, property::per_transfer) = model.per_transfer;
    result(id, property::per_second) = model.per_second;
    result(id, property::prediction_error) = model.prediction_error;
    fitted[i].insert(fitted[i].end(), checked[i].begin(), checked[i].end());
    result(id, property::gain) = gain(fitted[i]);
  }
}

void Experiments::all_reduces(const Counters& counters) {
  if (!can_run(LoadKind::all_reduce, counters, {property::all_reduce})) return;
  bench_.say("bytes of all-reduces");
  constexpr int runs = 5;
  std::vector<std::vector<double>> shares(counters.size());  // counted of expected
  for (int run = 0; run < runs; ++run) {
    const auto measured = measure(counters, {.kind = LoadKind::all_reduce, .bytes = 512 * MiB, .transfers = 20});
    for (std::size_t i = 0; i < counters.size(); ++i)
      if (measured[i].counted > 0) shares[i].push_back(measured[i].counted / measured[i].bytes);
  }
  for (std::size_t i = 0; i < counters.size(); ++i) {
    if (shares[i].size() < runs) {
      give_up({counters[i]}, {property::all_reduce}, "nothing was counted: all-reduces do not go over these links");
      continue;
    }
    const double spread = quantile(shares[i], 0.84) - quantile(shares[i], 0.16);
    result(counters[i]->id, property::all_reduce) = {
        .value = median(shares[i]),
        .uncertainty = spread / 2 / std::sqrt(static_cast<double>(runs)),
        .n = runs,
        .how =
            fmt::format("counted for each byte of 2(n-1)/n times 512 MiB, {} GPUs, median of {} times 20 all-reduces",
                        bench_.loads.gpus(), runs)};
  }
}

void Experiments::pcie_windows() {
  for (const auto& [id, kind] :
       {std::pair{"pcie_rx_window", LoadKind::copy_to_device}, std::pair{"pcie_tx_window", LoadKind::copy_to_host}}) {
    const Counters counter = wanted({id});
    if (!can_run(kind, counter, {property::window, property::lag, property::gain, property::refresh})) continue;
    bench_.say(fmt::format("the driver's own window, beside each {}", name_of(kind)));
    const double rate = rate_of(kind);
    const auto observed = observe(bench_,
                                  {.kind = kind,
                                   .bytes = 16 * MiB,
                                   .transfers = transfers_for(0.03, rate, 16 * MiB),
                                   .idle = milliseconds(45),
                                   .cycles = 60,
                                   .uneven = true},
                                  counter, Nanoseconds(1), milliseconds(60));
    result(id, property::refresh) = refresh_period(observed.series[0]);
    take_window(id,
                fit_window(points_at_readings(observed.series[0]), observed.run.bursts,
                           {.longest_window = 0.25, .longest_lag = 0.1}),
                payload(observed.run) / observed.run.busy_seconds());
  }
}

}  // namespace batchscope::calibration
