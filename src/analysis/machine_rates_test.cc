// Measuring with the engine's own ranks: everything that a step enqueues has a time, for every layout, quickly.
#include "analysis/machine_rates.h"

#include <gtest/gtest.h>

#include <numeric>

#include "plan/plan.h"

namespace batchscope {
namespace {

const char* const shape = "layers=4,hidden=64,heads=8,kv_heads=4,head_dim=8,intermediate=172,vocabulary=512";

RateQuestion question_of(const std::string& layout, const std::string& fusion) {
  RateQuestion question{.config = parse_model_shape(shape),
                        .placement = {.layout = Layout::parse(layout), .threads = 1},
                        .settings = {.fusion = parse_fusion(fusion)}};
  question.placement.device = parse_device("cpu:" + std::to_string(question.placement.layout.ranks()));
  return question;
}

std::vector<ScoreRequest> requests_of(std::size_t count, std::size_t length) {
  return std::vector<ScoreRequest>(count, {0, std::vector<std::int32_t>(length + 1, 5), 2});
}

class EveryLayoutIsMeasured : public testing::TestWithParam<const char*> {};

TEST_P(EveryLayoutIsMeasured, SoThatEachBatchHasATime) {
  for (const char* fusion : {"off", "on"}) {
    RateQuestion question = question_of(GetParam(), fusion);
    question.scored = {{requests_of(1, 9)}, {requests_of(4, 20)}};
    const auto steps = MeasuredRates(std::chrono::milliseconds(50)).measure(question);
    ASSERT_FALSE(steps.empty());
    for (const TimedStep& step : steps) {
      ASSERT_EQ(std::ssize(step.stages), question.placement.layout.stages());
      EXPECT_GT(step.seconds, 0);
      double stages = 0;
      for (const auto& stage : step.stages)
        for (const TimedEntry& entry : stage) {
          EXPECT_GE(entry.seconds, 0);
          if (!std::holds_alternative<CollectiveWork>(entry.entry)) stages += entry.seconds;
        }
      EXPECT_GT(stages, 0);
    }
    const PerformanceModel model(question.placement.layout, steps);
    RunTime run(model);
    RunSettings settings = question.settings;
    settings.batch = 3;
    plan_score(question.config, question.placement, settings, requests_of(12, 15),
               [&](int rank, const Trace& batch, std::int64_t count) { run.add(rank, batch, count); });
    EXPECT_GT(run.seconds().value(), 0) << fusion;
  }
}

TEST_P(EveryLayoutIsMeasured, SoThatEachStepOfAGenerationHasATime) {
  RateQuestion question = question_of(GetParam(), "on");
  const GenerateRequest request{.prompt = std::vector<std::int32_t>(10, 7), .new_tokens = 4};
  question.generated = {{{request}}, {{request, request, request}}};
  const auto steps = MeasuredRates(std::chrono::milliseconds(50)).measure(question);
  ASSERT_GE(steps.size(), 2u);
  const PerformanceModel model(question.placement.layout, steps);
  RunSettings settings = question.settings;
  settings.batch = 2;
  int taken = 0;
  const Nanoseconds end =
      generation_end(question.config, question.placement, settings, std::vector<GenerateRequest>(5, request),
                     [&](std::span<const Trace> stages) {
                       ++taken;
                       return from_seconds(model.step_seconds(stages).value());
                     });
  EXPECT_GT(end, Nanoseconds(0));
  EXPECT_GE(taken, 8);
}

INSTANTIATE_TEST_SUITE_P(Layouts, EveryLayoutIsMeasured,
                         testing::Values("tp1", "tp2", "mp2", "pp2", "dp2", "mp2.tp2", "dp2.pp2"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '.');
                           return name;
                         });

// A model of any size is measured by one that is small enough, of which every rank has a part.
TEST(Shrunk, KeepsTheLayoutsParts) {
  for (const char* layout : {"tp1", "tp8", "mp4", "dp2.tp4"}) {
    const Layout cut = Layout::parse(layout);
    const ModelConfig small = shrunk(parse_model_shape("llama-65b"), cut, 40'000'000);
    EXPECT_NO_THROW(cut.check(small));
    EXPECT_LE(small.parameters(), 60'000'000) << layout;
    EXPECT_EQ(small.hidden, 8192);
  }
  const ModelConfig tiny = parse_model_shape(shape);
  EXPECT_EQ(shrunk(tiny, Layout::parse("tp2"), 40'000'000).parameters(), tiny.parameters());
}

TEST(MeasuredRates, StaysQuickWithALargeModelAndLongSequences) {
  RateQuestion question = question_of("tp2", "on");
  question.config = parse_model_shape("llama-65b");
  question.scored = {{requests_of(1, 2000)}, {requests_of(16, 2000)}};
  const Nanoseconds begin = monotonic_clock().now();
  const auto steps = MeasuredRates().measure(question);
  EXPECT_FALSE(steps.empty());
  EXPECT_LT(monotonic_clock().now() - begin, std::chrono::seconds(20));  // one, on an idle machine
}

TEST(MeasuredRates, DevicesThatAreNotHereHaveNone) {
  RateQuestion question = question_of("tp1", "on");
  question.placement.device = parse_device("cuda:63");
  question.scored = {{requests_of(1, 9)}};
  EXPECT_TRUE(MeasuredRates().measure(question).empty());
}

}  // namespace
}  // namespace batchscope
