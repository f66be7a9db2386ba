// Ratios of times between runs: by hand, and what they promise in simulated runs with noise of every kind.
#include "analysis/time_ratio.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "analysis/statistics.h"

namespace batchscope {
namespace {

TEST(TimeRatio, ByHand) {
  const TimeRatio ratio = time_ratio({.a = {{1, 1.0}, {2, 4.0}}, .b = {{1, 4.0}, {2, 4.0}, {5, 4.0}}}, least_run_noise);
  EXPECT_NEAR(ratio.ratio, 2, 1e-12);
  // Only a varies: its mean logarithm has the variance (log 2)² and one degree of freedom.
  const double spread = std::log(2) * std::log(2), all = spread + 2 * least_run_noise * least_run_noise;
  EXPECT_NEAR(*ratio.p_slower, student_t_tail(std::log(2) / std::sqrt(all), all * all / (spread * spread)), 1e-12);
  EXPECT_NEAR(*ratio.p_slower + *ratio.p_faster, 1, 1e-12);
  EXPECT_LT(*ratio.low, 1);
}

TEST(TimeRatio, OneRepeatHasNoInterval) {
  const TimeRatio ratio = time_ratio({.a = {{1, 1.0}}, .b = {{1, 1.2}, {2, 1.2}}}, least_run_noise);
  EXPECT_NEAR(ratio.ratio, 1.2, 1e-12);
  EXPECT_FALSE(ratio.low || ratio.p_slower);
}

TEST(TimeRatio, EqualTimesStillAllowForAnotherRun) {
  const TimeRatio ratio = time_ratio({.a = {{1, 1.0}, {2, 1.0}}, .b = {{1, 1.0}, {2, 1.0}}}, least_run_noise);
  EXPECT_NEAR(*ratio.high, std::exp(1.96 * std::sqrt(2) * least_run_noise), 1e-4);
  EXPECT_NEAR(*ratio.p_slower, 0.5, 1e-12);
}

TEST(TimeRatio, OverallNeedsTwoCellsWithRepeats) {
  const CellTimes once{.a = {{1, 1.0}}, .b = {{1, 1.0}}}, twice{.a = {{1, 1.0}, {2, 1.1}}, .b = {{1, 2.0}, {2, 2.2}}};
  EXPECT_FALSE(overall_time_ratio({}, 0));
  EXPECT_FALSE(overall_time_ratio(std::vector{once, twice}, 0));
  EXPECT_NEAR(overall_time_ratio(std::vector{once, twice, twice}, 0)->ratio, 2, 1e-12);
}

// Weather of a repeat hits all cells alike: more cells do not average it away.
TEST(TimeRatio, SharedNoiseIsNotAveragedOverCells) {
  const CellTimes cell{.a = {{1, 1.0}, {2, 1.2}, {3, 1.1}}, .b = {{1, 1.3}, {2, 1.1}, {3, 1.2}}};
  const TimeRatio one = time_ratio(cell, 0.01), many = *overall_time_ratio(std::vector<CellTimes>(50, cell), 0.01);
  EXPECT_NEAR(*one.p_slower, *many.p_slower, 1e-9);
  CellTimes other = cell;  // the same values in other repeats: the cells' noise is their own
  std::swap(other.a[1], other.a[2]);
  std::swap(other.b[1], other.b[2]);
  EXPECT_LT(*overall_time_ratio(std::vector{cell, other}, 0.01)->p_slower, *one.p_slower);
}

TEST(RunNoise, IsWhatCellsOfARepeatShare) {
  EXPECT_EQ(run_noise({}), least_run_noise);
  const CellTimes cell{.a = {{1, 1.0}, {2, std::exp(0.2)}}, .b = {{1, 1.0}, {2, 1.0}}};
  EXPECT_EQ(run_noise(std::vector{cell}), least_run_noise);  // of one cell nobody knows what is shared
  // Shared: deviations of ±0.1 on one side, a variance of 0.02, and none on the other.
  EXPECT_NEAR(run_noise(std::vector{cell, cell}), std::sqrt(0.02 / 2), 1e-12);
  CellTimes other = cell;
  std::swap(other.a[1], other.a[2]);
  EXPECT_EQ(run_noise(std::vector{cell, other}), least_run_noise);  // nothing is shared
}

struct Noise {
  double cell = 0.03;  // of each measurement
  double repeat = 0;   // shared by all cells of a repeat
  double run = 0;      // shared by a whole run
  bool heavy = false;  // now and then a measurement takes half as long again
};

class Simulation {
 public:
  explicit Simulation(Noise noise) : noise_(noise) {}

  // Whether any of the tests finds something slower, as a comparison of two studies does it.
  bool alarm(std::size_t cells, int repeats, double slower_all, double slower_first, double threshold) {
    std::vector<CellTimes> times(cells);
    run(times, repeats, &CellTimes::a);
    run(times, repeats, &CellTimes::b);
    for (std::size_t cell = 0; cell < cells; ++cell)
      for (auto& [repeat, seconds] : times[cell].b) seconds *= cell == 0 ? slower_all * slower_first : slower_all;
    const double between = run_noise(times);
    std::vector<TimeRatio> ratios{*overall_time_ratio(times, between)};
    for (const CellTimes& cell : times) ratios.push_back(time_ratio(cell, between));
    std::vector<double> p, weights(ratios.size(), 1);
    weights[0] = std::min(static_cast<double>(cells) / 2, 4.0);
    for (const TimeRatio& ratio : ratios) p.push_back(*ratio.p_slower);
    const std::vector<double> adjusted = holm(p, weights);
    for (std::size_t i = 0; i < ratios.size(); ++i)
      if (adjusted[i] < 0.05 && ratios[i].ratio > 1 + threshold) return true;
    return false;
  }
  double share_of_alarms(std::size_t cells, int repeats, double slower_all = 1, double slower_first = 1,
                         double threshold = 0) {
    int alarms = 0;
    for (int i = 0; i < runs; ++i) alarms += alarm(cells, repeats, slower_all, slower_first, threshold) ? 1 : 0;
    return static_cast<double>(alarms) / runs;
  }

 private:
  static constexpr int runs = 500;

  void run(std::vector<CellTimes>& times, int repeats, SecondsOfRepeats CellTimes::*side) {
    const double run = noise_.run * normal_(random_);
    for (int repeat = 1; repeat <= repeats; ++repeat) {
      const double shared = run + noise_.repeat * normal_(random_);
      for (CellTimes& cell : times) {
        const bool stalled = noise_.heavy && random_() % 20 == 0;
        (cell.*side)[repeat] = std::exp(shared + noise_.cell * normal_(random_)) * (stalled ? 1.5 : 1);
      }
    }
  }

  Noise noise_;
  std::mt19937_64 random_{7};
  std::normal_distribution<double> normal_;
};

// Without any threshold: what is promised of noise alone.
TEST(TimeRatioSimulated, AtMost5PercentFalseAlarms) {
  EXPECT_LE(Simulation({}).share_of_alarms(6, 5), 0.05);
  EXPECT_LE(Simulation({.run = least_run_noise}).share_of_alarms(6, 5), 0.05);
  EXPECT_LE(Simulation({.repeat = 0.04, .run = least_run_noise}).share_of_alarms(12, 5), 0.05);
  EXPECT_LE(Simulation({.cell = 0.001, .run = least_run_noise}).share_of_alarms(6, 3), 0.05);
  EXPECT_LE(Simulation({.run = least_run_noise, .heavy = true}).share_of_alarms(6, 5), 0.05);
}

// Runs that differ more than is assumed: the threshold of 5 % still keeps alarms rare.
TEST(TimeRatioSimulated, TheThresholdCoversMoreThanIsAssumed) {
  EXPECT_LE(Simulation({.run = 0.03}).share_of_alarms(6, 5, 1, 1, 0.05), 0.1);
  EXPECT_LE(Simulation({.repeat = 0.04, .run = 0.04}).share_of_alarms(6, 5, 1, 1, 0.05), 0.1);
}

TEST(TimeRatioSimulated, TenPercentAreFound) {
  EXPECT_GE(Simulation({}).share_of_alarms(6, 5, 1.10, 1, 0.05), 0.95);  // all cells slower
  EXPECT_GE(Simulation({}).share_of_alarms(6, 5, 1, 1.10, 0.05), 0.6);   // one of six
  EXPECT_GE(Simulation({.repeat = 0.01}).share_of_alarms(6, 5, 1.10, 1, 0.05), 0.9);
  EXPECT_GE(Simulation({.repeat = 0.02}).share_of_alarms(6, 5, 1.10, 1, 0.05), 0.8);
  EXPECT_GE(Simulation({.run = 0.01}).share_of_alarms(6, 5, 1.10, 1, 0.05), 0.85);
  EXPECT_GE(Simulation({.cell = 0.01}).share_of_alarms(20, 5, 1, 1.10, 0.05), 0.95);
}

}  // namespace
}  // namespace batchscope
