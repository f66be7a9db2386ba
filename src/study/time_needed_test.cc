// How long the rest of a study takes, where the truth is known.
#include "study/time_needed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace batchscope {
namespace {

using testing::HasSubstr;

// Four strategies whose estimates are wrong by a factor each, loading and a rest.
std::vector<ExpectedRun> runs_of_four_strategies(const std::function<bool(int strategy, int cell)>& is_finished,
                                                 double& left, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> one(0, 1);
  std::vector<ExpectedRun> runs;
  std::set<std::pair<bool, std::string>> loaded;  // what is left loads its models once more
  left = 0;
  for (int worker = 0; worker < 4; ++worker) {
    const double wrong = 1.3 * std::exp(0.4 * (one(random) - 0.5));
    for (int cell = 0; cell < 10; ++cell) {
      ExpectedRun run{.strategy = std::to_string(worker), .worker = std::to_string(worker), .estimated = 1 + cell};
      const double timed = *run.estimated * wrong * (1 + 0.1 * (one(random) - 0.5)), load = 20;
      const double wall = timed + 0.5 + (loaded.insert({is_finished(worker, cell), run.worker}).second ? load : 0);
      if (is_finished(worker, cell)) {
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
  const TimeNeeded needed = time_needed(runs_of_four_strategies([](int, int) { return false; }, left, 1));
  EXPECT_DOUBLE_EQ(*needed.seconds, 220);
  EXPECT_FALSE(needed.low || needed.ratio || needed.with_loading);
  EXPECT_THAT(to_text(needed), HasSubstr("without loading"));
}

TEST(TimeNeeded, FinishedRunsSetItRight) {
  const auto of_all = [](int, int cell) { return cell % 8 < 3; };
  const auto of_three = [](int strategy, int) { return strategy < 3; };
  for (const auto& is_finished : {std::function<bool(int, int)>(of_all), std::function<bool(int, int)>(of_three)}) {
    int within = 0;
    for (unsigned seed = 0; seed < 50; ++seed) {
      double left = 0;
      const TimeNeeded needed = time_needed(runs_of_four_strategies(is_finished, left, seed));
      EXPECT_NEAR(*needed.seconds / left, 1, 0.45) << seed;
      EXPECT_NEAR(*needed.ratio, 1.3, 0.3);
      within += *needed.low <= left && left <= *needed.high ? 1 : 0;
    }
    EXPECT_GE(within, 45);
  }
  // Of strategies that have not run, two that have say too little.
  double left = 0;
  const auto of_two = [](int strategy, int) { return strategy < 2; };
  EXPECT_FALSE(time_needed(runs_of_four_strategies(of_two, left, 1)).low);
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
