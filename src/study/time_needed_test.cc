// How long the rest of a study takes, where the truth is known.
#include "study/time_needed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace batchscope {
namespace {

using testing::HasSubstr;

// Four strategies whose estimates are wrong by a factor each, loading and a rest; the first `finished` runs have been run.
std::vector<ExpectedRun> runs_of_four_strategies(std::size_t finished, double spread, double& left, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> one(0, 1);
  std::vector<ExpectedRun> runs;
  std::string loaded;
  left = 0;
  for (int worker = 0; worker < 4; ++worker) {
    const double wrong = 1.3 * std::exp(spread * (one(random) - 0.5));
    for (int cell = 0; cell < 10; ++cell) {
      ExpectedRun run{.strategy = std::to_string(worker), .worker = std::to_string(worker), .estimated = 1 + cell};
      const double timed = *run.estimated * wrong * (1 + 0.1 * (one(random) - 0.5)), load = 20;
      const double wall = timed + 0.5 + (loaded == run.worker ? 0 : load);
      loaded = run.worker;
      if (runs.size() < finished) {
        run.timed = timed;
        run.wall = wall;
        run.load = load;
      } else {
        left += wall;
      }
      runs.push_back(std::move(run));
    }
  }
  return runs;
}

TEST(TimeNeeded, BeforeAnythingRanItIsTheModelsAlone) {
  double left = 0;
  const TimeNeeded needed = time_needed(runs_of_four_strategies(0, 0.4, left, 1));
  EXPECT_DOUBLE_EQ(*needed.seconds, 220);
  EXPECT_FALSE(needed.low || needed.ratio || needed.with_loading);
  EXPECT_THAT(to_text(needed), HasSubstr("without loading"));
}

TEST(TimeNeeded, FinishedRunsSetItRight) {
  int within = 0;
  for (unsigned seed = 0; seed < 50; ++seed) {
    double left = 0;
    const TimeNeeded needed = time_needed(runs_of_four_strategies(15, 0.4, left, seed));
    EXPECT_EQ(needed.finished, 15);
    EXPECT_NEAR(*needed.seconds / left, 1, 0.25) << seed;
    EXPECT_NEAR(*needed.ratio, 1.3, 0.3);
    within += *needed.low <= left && left <= *needed.high ? 1 : 0;
  }
  EXPECT_GE(within, 40);  // two strategies have been seen, and the others are wrong in ways of their own
}

TEST(TimeNeeded, WithoutAnEstimateARunTakesWhatOthersOfItsStrategyTook) {
  std::vector<ExpectedRun> runs(4, {.strategy = "engine", .worker = "engine"});
  EXPECT_FALSE(time_needed(runs).seconds);
  runs[0].wall = 3.5, runs[0].timed = 2.0, runs[0].load = 1.0;
  EXPECT_NEAR(*time_needed(runs).seconds, 3 * 2.5 + 1, 1e-9);
  runs[3].fits = false;  // it fails at once
  EXPECT_NEAR(*time_needed(runs).seconds, 2 * 2.5 + 0.5 + 1, 1e-9);
  EXPECT_THAT(to_text(time_needed(runs)), HasSubstr("1 of 4 runs are finished"));
}

}  // namespace
}  // namespace batchscope
