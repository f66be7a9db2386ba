// Estimators on synthetic counters: with jitter, noise, missing and repeated values they find what the counter was made
// with, or say why they cannot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "telemetry/calibration/gain.h"
#include "telemetry/calibration/modulus.h"
#include "telemetry/calibration/read_cost.h"
#include "telemetry/calibration/refresh.h"
#include "telemetry/calibration/window.h"

namespace batchscope::calibration {
namespace {

using testing::HasSubstr;

// How a counter is read.
struct Reader {
  double period = 1e-3, call = 20e-6;  // seconds
  double jitter = 0.2e-3;              // standard deviation of when a reading begins
  double missing = 0.05;               // share of readings without a value
  double seconds = 5;
  unsigned seed = 1;
};

Series read(const std::function<double(double)>& value, const Reader& reader) {
  std::mt19937 random(reader.seed);
  std::exponential_distribution<double> late(1 / reader.jitter);
  std::uniform_real_distribution<double> share(0, 1);
  Series series;
  double free_again = 0;
  for (double t = 0; t < reader.seconds; t += reader.period) {
    const double begin = std::max(free_again, t + late(random));
    if (begin > reader.seconds) break;
    free_again = begin + reader.call;
    TimedValue reading{.before = from_seconds(begin), .after = from_seconds(free_again)};
    if (share(random) >= reader.missing) reading.value = value(begin + reader.call / 2);
    series.push_back(reading);
  }
  return series;
}

// A value drawn anew at each refresh; `repeats`: share of refreshes that leave it as it was.
std::function<double(double)> refreshed(double period, double repeats, double phase, unsigned seed = 7) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> share(0, 1);
  std::vector<double> values{0};
  for (int i = 0; i < 100'000; ++i) values.push_back(share(random) < repeats ? values.back() : values.back() + 1);
  return [=](double t) { return values[static_cast<std::size_t>(std::floor((t + phase) / period)) + 1]; };
}

void expect_near(const Estimate& estimate, double truth, double tolerance) {
  ASSERT_TRUE(estimate.value) << estimate.how;
  EXPECT_NEAR(*estimate.value, truth, tolerance) << estimate.how;
  EXPECT_NEAR(*estimate.value, truth, 5 * estimate.uncertainty + 1e-12) << "uncertainty " << estimate.uncertainty;
  EXPECT_GT(estimate.n, 0);
}

TEST(RefreshPeriod, OfTheCountersWeKnow) {
  expect_near(refresh_period(read(refreshed(0.2, 0, 0.03), {})), 0.2, 0.002);
  expect_near(refresh_period(read(refreshed(0.02, 0.2, 0.013), {})), 0.02, 0.0003);
  expect_near(refresh_period(read(refreshed(0.1, 0, 0.07), {.period = 3.2e-3, .call = 2.9e-3})), 0.1, 0.001);
}

RC_GTEST_PROP(RefreshPeriod, IsFoundThoughValuesRepeat, ()) {
  const double period = *rc::gen::inRange(15, 400) * 1e-3;
  const double repeats = *rc::gen::inRange(0, 61) * 1e-2;
  const auto seed = *rc::gen::inRange(0U, 10'000U);
  const auto series =
      read(refreshed(period, repeats, 0.4 * period, seed), {.missing = 0.1, .seconds = 60 * period, .seed = seed});
  const Estimate estimate = refresh_period(series);
  RC_ASSERT(estimate.value.has_value());
  RC_ASSERT(std::abs(*estimate.value - period) < 0.03 * period);
  RC_ASSERT(std::abs(*estimate.value - period) < 6 * estimate.uncertainty);
}

TEST(RefreshPeriod, WhatChangesAtEveryReadingHasNone) {
  const Estimate estimate = refresh_period(read([](double t) { return std::floor(1e6 * t); }, {}));
  EXPECT_FALSE(estimate.value);
  EXPECT_THAT(estimate.how, HasSubstr("nearly every reading"));
}

TEST(RefreshPeriod, WhatHardlyChangesHasNone) {
  EXPECT_THAT(refresh_period(read([](double) { return 5.0; }, {})).how, HasSubstr("never changed"));
  EXPECT_THAT(refresh_period(read([](double t) { return t > 2 ? 5.0 : 4.0; }, {})).how, HasSubstr("only 1 changes"));
  EXPECT_THAT(refresh_period(read([](double) { return 5.0; }, {.missing = 1})).how, HasSubstr("could not be read"));
}

TEST(RefreshPeriod, ChangesOutOfStepHaveNone) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> distance(0.02, 0.2);
    std::vector<double> changes{0};
    while (changes.back() < 5) changes.push_back(changes.back() + distance(random));
    const auto value = [&](double t) {
      return static_cast<double>(std::upper_bound(changes.begin(), changes.end(), t) - changes.begin());
    };
    EXPECT_FALSE(refresh_period(read(value, {})).value) << seed;
  }
}

TEST(TickPeriod, OfTheDriversOwnTimeStamps) {
  std::mt19937 random(3);
  std::normal_distribution<double> jitter(0, 0.4e-3);
  std::vector<double> stamps;
  for (int i = 0; i < 119; ++i)
    if (i % 17 != 5) stamps.push_back(0.02 * i + jitter(random));  // some are missing
  expect_near(clock_period(stamps, 1e-6), 0.02, 0.0002);
}

TEST(Renewals, OfPairsThatSayNothingNewBetween) {
  // Between renewals every 100 ms a pair has no value, 0, the last one again (-1), or always the same.
  for (const std::optional<double> stale :
       {std::optional<double>(), std::optional<double>(0.0), std::optional<double>(-1), std::optional<double>(12345)}) {
    std::mt19937 random(2);
    std::uniform_real_distribution<double> share(5, 30);
    Series pairs;
    double last = share(random);
    for (int i = 0; i < 800; ++i) {
      const bool is_renewed = i % 20 == 7;
      if (is_renewed) last = share(random);
      const auto at = from_seconds(0.005 * i);
      pairs.push_back({.before = at, .after = at, .value = is_renewed || stale == -1 ? std::optional(last) : stale});
    }
    const auto instants = renewals_of(pairs);
    expect_near(clock_period(instants, 0.0025), 0.1, 0.001);
  }
}

TEST(SoundGap, IsWhereWildValuesEnd) {
  std::mt19937 random(2);
  std::uniform_real_distribution<double> wild(0, 30), noise(0.98, 1.02);
  std::vector<GapValue> pairs;
  for (int gap = 5; gap <= 300; gap += 5)
    for (int i = 0; i < 20; ++i) pairs.push_back({gap * 1e-3, gap < 100 ? wild(random) : noise(random)});
  expect_near(shortest_sound_gap(pairs), 0.1, 0.005);
  for (GapValue& pair : pairs) pair.value = 1;
  EXPECT_THAT(shortest_sound_gap(pairs).how, HasSubstr("already agree"));
  for (GapValue& pair : pairs) pair.value = wild(random);
  EXPECT_THAT(shortest_sound_gap(pairs).how, HasSubstr("do not agree"));
  EXPECT_THAT(shortest_sound_gap({}).how, HasSubstr("too few"));
}

// A load that is on for `on` and off for `off` seconds, and what a mean over `window` that is `lag` late shows of it.
struct SquareWave {
  double on = 0.07, off = 0.13;
  std::vector<Burst> bursts(double seconds) const {
    std::vector<Burst> bursts;
    for (double t = 0.1; t + on < seconds; t += on + off)
      bursts.push_back({.begin = from_seconds(t), .end = from_seconds(t + on)});
    return bursts;
  }
  double busy_until(double t) const {
    const double since = std::max(0.0, t - 0.1), cycles = std::floor(since / (on + off));
    return cycles * on + std::min(on, since - cycles * (on + off));
  }
};

TEST(Window, OfPowerThatIsSeenForAQuarterOfTheTime) {  // as arXiv 2312.02741 found it on A100 and H100
  const SquareWave wave{.on = 0.06, .off = 0.083};
  std::mt19937 random(5);
  std::normal_distribution<double> noise(0, 4);
  std::vector<double> held;
  for (int i = 0; i < 100; ++i) {
    const double t = 0.1 * i - 0.004;
    held.push_back(100 + 300 * (wave.busy_until(t) - wave.busy_until(t - 0.025)) / 0.025 + noise(random));
  }
  const auto series = read([&](double t) { return held[static_cast<std::size_t>(t / 0.1)]; }, {.seconds = 9.9});
  const WindowFit fit = fit_window(points_at_changes(series), wave.bursts(9.9));
  expect_near(fit.window, 0.025, 0.004);
  expect_near(fit.lag, 0.004, 0.003);
  expect_near(fit.gain, 300, 10);
  expect_near(fit.idle, 100, 10);
}

TEST(Window, OfUtilisationInWholePerCent) {
  for (const double window : {0.2, 0.15}) {
    const SquareWave wave{.on = 0.11, .off = 0.177};
    const auto value = [&](double t) {
      const double at = window * std::floor(t / window);
      return std::round(100 * (wave.busy_until(at) - wave.busy_until(at - window)) / window);
    };
    const WindowFit fit = fit_window(points_at_changes(read(value, {.seconds = 8})), wave.bursts(8));
    expect_near(fit.window, window, 0.005);
    expect_near(fit.gain, 100, 1.5);
  }
}

TEST(Window, OfACallThatMeasuresWhileItBlocks) {
  const SquareWave wave{.on = 0.03, .off = 0.047};
  const auto series = read([&](double t) { return wave.busy_until(t + 0.0105) - wave.busy_until(t - 0.0095); },
                           {.period = 1e-3, .call = 21e-3, .seconds = 4});
  expect_near(fit_window(points_at_readings(series), wave.bursts(4)).window, 0.02, 0.001);
}

TEST(Window, OfWhatDoesNotFollowTheLoadIsAbsent) {
  const SquareWave wave;
  const auto value = [](double t) { return std::fmod(std::floor(t / 0.02) * 0.618034, 1); };
  const WindowFit fit = fit_window(points_at_changes(read(value, {})), wave.bursts(5));
  EXPECT_FALSE(fit.window.value);
  EXPECT_THAT(fit.lag.how, HasSubstr("do not follow the load"));
  EXPECT_THAT(fit_window({}, wave.bursts(5)).gain.how, HasSubstr("too few"));
}

TEST(StepLag, FromTheLoadsChangeToTheValues) {
  std::vector<Nanoseconds> steps;
  for (int i = 1; i < 12; ++i) steps.push_back(from_seconds(0.3 * i));
  const auto value = [](double t) { return std::floor((t - 0.025) / 0.3); };
  expect_near(step_lag(read(value, {.seconds = 3.6}), steps), 0.025, 0.001);
  EXPECT_FALSE(step_lag(read([](double) { return 1.0; }, {}), steps).value);
}

Series counting(double rate, double wraps_at, const Reader& reader) {
  std::mt19937 random(11);
  std::uniform_real_distribution<double> unsteady(-0.001, 0.001);
  std::vector<double> late;
  for (int i = 0; i < 1000; ++i) late.push_back(unsteady(random) * rate * reader.period);
  std::size_t call = 0;
  const double start = 0.7 * wraps_at;
  return read([&](double t) { return std::floor(std::fmod(start + rate * t + late[call++ % late.size()], wraps_at)); },
              reader);
}

TEST(Modulus, OfCountersThatWrap) {
  for (const int power : {30, 32, 36, 40}) {
    const double wraps_at = std::exp2(power), rate = 8 * wraps_at;
    const auto series = counting(rate, wraps_at, {.period = 5e-3, .seconds = 2});
    const Estimate estimate = modulus(series, 2 * rate);
    ASSERT_TRUE(estimate.value) << power << ": " << estimate.how;
    EXPECT_EQ(*estimate.value, wraps_at);
    EXPECT_GE(estimate.n, 12);
  }
}

TEST(Modulus, OfACounterThatDidNotWrapIsAbsent) {
  const Estimate estimate = modulus(counting(1e9, 0x1p62, {.seconds = 1}), 1e9);
  EXPECT_FALSE(estimate.value);
  EXPECT_THAT(estimate.how, HasSubstr("did not wrap; it is greater than"));
  EXPECT_THAT(modulus(read([](double) { return 5.0; }, {})).how, HasSubstr("did not move"));
}

TEST(Modulus, ThatIsNoPowerOfTwoIsRefused) {
  const Estimate estimate = modulus(counting(2e10, 3e9, {.period = 5e-3, .seconds = 2}), 4e10);
  EXPECT_FALSE(estimate.value);
  EXPECT_THAT(estimate.how, HasSubstr("not a power of two"));
}

TEST(Modulus, OfACounterThatIsReadTooSeldomIsRefused) {  // a wrap and a half between two readings
  const double rate = 55e9;
  const Estimate estimate = modulus(counting(rate, 0x1p32, {.period = 0.117, .missing = 0, .seconds = 5}), 5 * rate);
  EXPECT_FALSE(estimate.value) << estimate.how;
}

double counted(const Measured& load) { return 1.057 * load.bytes + 900 * load.transfers + 2e5 * load.seconds; }

std::vector<Measured> loads(std::initializer_list<double> sizes, double noise, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> error(0, noise);
  std::vector<Measured> out;
  for (const double size : sizes) {
    Measured load{.bytes = 64 * size,
                  .transfers = 64,
                  .seconds = 64 * (8e-6 + size / 55e9) + 0.05 * static_cast<double>(out.size() % 3)};
    load.counted = counted(load) * (1 + error(random));
    out.push_back(load);
  }
  return out;
}

TEST(Overhead, FittedOnSomeSizesPredictsOthers) {
  const auto model = fit_overhead(loads({65536, 262144, 1048576, 16777216, 268435456, 1073741824}, 5e-4),
                                  loads({131072, 4e6, 5e8}, 5e-4));
  expect_near(model.per_byte, 1.057, 0.002);
  ASSERT_TRUE(model.prediction_error.value);
  EXPECT_LT(*model.prediction_error.value, 0.003);
  EXPECT_EQ(model.prediction_error.n, 3);
  const auto wrong = fit_overhead(loads({65536, 262144, 1048576, 16777216}, 0),
                                  {{{.bytes = 1e9, .transfers = 1, .seconds = 0.02, .counted = 2e9}}});
  EXPECT_NEAR(*wrong.prediction_error.value, 0.47, 0.02);
}

TEST(Overhead, OfLoadsThatAreAlikeIsAbsent) {
  EXPECT_FALSE(fit_overhead(loads({65536, 65536, 65536, 65536}, 0), {}).per_byte.value);
  EXPECT_FALSE(fit_overhead({}, {}).prediction_error.value);
  EXPECT_EQ(fit_overhead({}, {}).predict({}), std::nullopt);
}

TEST(Gain, IsTheSlopeWithItsError) {
  expect_near(gain(loads({1e6, 1e7, 1e8, 1e9}, 1e-4)), 1.057, 0.001);
  EXPECT_THAT(gain(loads({1e6, 1e7}, 0)).how, HasSubstr("too few"));
  EXPECT_THAT(gain(std::vector<Measured>(5, {.bytes = 0, .counted = 3})).how, HasSubstr("one size"));
}

TEST(ReadCost, QuantilesAndCpuTime) {
  std::vector<CallCost> calls;
  for (int i = 0; i < 1000; ++i)
    calls.push_back(
        {.wall = std::chrono::microseconds(i < 980 ? 100 + i % 10 : 5000), .cpu = std::chrono::microseconds(40)});
  const ReadCost cost = read_cost(calls);
  EXPECT_NEAR(*cost.p50.value, 104e-6, 2e-6);
  EXPECT_NEAR(*cost.p99.value, 5e-3, 1e-4);
  EXPECT_NEAR(*cost.cpu.value, 40e-6, 1e-9);
  EXPECT_FALSE(read_cost({}).p50.value);
}

}  // namespace
}  // namespace batchscope::calibration
