// A trace for people and for programs, with times where they are known.
#include "report/trace_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace batchscope {
namespace {

using testing::HasSubstr;
using testing::Not;

const Work product{"linear", 2000, 400, DType::f32, 2, 10, 50};
const Work addition{"add", 10, 120, DType::f32, 10};
const CollectiveWork all_reduce{"all_reduce", "ring", "mlp", 2, 40, 40, 40, 1};

// A product, and an all-reduce with its own addition.
Trace some_trace() {
  Trace trace;
  for (const TraceEntry& entry : {TraceEntry(product), TraceEntry(addition), TraceEntry(all_reduce)}) trace.add(entry);
  return trace;
}

// 3 ms the product, 1 ms the all-reduce.
PerformanceModel model() {
  const TimedStep step{.stages = {{{product, 3e-3}, {all_reduce, 1e-3}}}, .seconds = 4e-3, .first_seconds = 4e-3};
  return PerformanceModel(Layout::parse("tp2"), {&step, 1});
}

TEST(TraceText, ALineForEachEntryInItsOrder) {
  const PerformanceModel times = model();
  std::istringstream lines(trace_lines({some_trace(), some_trace()}, &times));
  std::vector<nlohmann::json> entries;
  for (std::string line; std::getline(lines, line);) entries.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(entries.size(), 6u);
  EXPECT_EQ(entries[3].at("rank"), 1);
  EXPECT_EQ(entries[0].at("kernel"), "linear");
  EXPECT_EQ(entries[0].at("n"), 10);
  EXPECT_NEAR(entries[0].at("seconds").get<double>(), 3e-3, 1e-6);
  EXPECT_EQ(entries[1].at("elements"), 10);
  EXPECT_EQ(entries[1].at("seconds"), 0);
  EXPECT_EQ(entries[2].at("collective"), "all_reduce");
  EXPECT_EQ(entries[2].at("kernels"), 1);
  EXPECT_NEAR(entries[2].at("seconds").get<double>(), 1e-3, 1e-6);
}

TEST(TraceText, TimesThatAreNotKnownAreAbsent) {
  EXPECT_THAT(trace_lines({some_trace()}, nullptr), HasSubstr("\"seconds\":null"));
  EXPECT_THAT(trace_table(some_trace(), nullptr, false), Not(HasSubstr("time")));
  Trace unknown = some_trace();
  unknown.add(Work{"swiglu", 1, 1, DType::f32, 1});
  const PerformanceModel times = model();
  EXPECT_THAT(trace_table(unknown, &times, false), HasSubstr("?"));
}

TEST(TraceText, ATableHasEachOpsShare) {
  const PerformanceModel times = model();
  const std::string table = trace_table(some_trace(), &times, false);
  EXPECT_THAT(table, HasSubstr("all_reduce (mlp)"));
  EXPECT_THAT(table, HasSubstr("75.0 %"));
  EXPECT_THAT(table, HasSubstr("25.0 %"));
  EXPECT_THAT(table, HasSubstr("3 ms"));
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u);
}

// 2 ms a product that 1 TFLOP/s allow in 1 ms, 0.5 ms of something else, 1 ms an all-reduce; 4 ms in all.
ObservedStep some_step() {
  const Work large{"linear", 1e9, 1000, DType::bf16, 100, 100, 50000};
  const Work norm{"rms_norm", 10, 50'000'000, DType::bf16, 10};
  return {.kind = "decode",
          .rank = 1,
          .device = "cuda:1",
          .padding_share = 0.125,
          .seconds = 4e-3,
          .entries = {{large, 2e-3}, {norm, 0.5e-3}, {all_reduce, 1e-3}},
          .limits = DeviceLimits{.bytes_per_second = 1e12, .flop_per_second = {{DType::bf16, 1e12}}}};
}

TEST(TraceText, AStepThatRanHasItsTimesBesideTheDevicesLimits) {
  const ObservedStep step = some_step();
  std::istringstream lines(trace_lines(std::span(&step, 1)));
  std::vector<nlohmann::json> entries;
  for (std::string line; std::getline(lines, line);) entries.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].at("rank"), 1);
  EXPECT_EQ(entries[0].at("step"), "decode");
  EXPECT_EQ(entries[0].at("seconds"), 2e-3);
  EXPECT_NEAR(entries[0].at("least_seconds").get<double>(), 1e-3, 1e-9);
  EXPECT_NEAR(entries[1].at("least_seconds").get<double>(), 50e-6, 1e-9);
  EXPECT_TRUE(entries[2].at("least_seconds").is_null());

  const std::string table = trace_table(step, false);
  EXPECT_THAT(table, testing::ContainsRegex("linear +1 +2 ms +57.1 % +0.5 .* 50.0 %"));
  EXPECT_THAT(table, testing::ContainsRegex("at the device's limits +1.050 ms +26.2 %"));
  EXPECT_THAT(table, testing::ContainsRegex("kernels beyond them +1.450 ms"));
  EXPECT_THAT(table, testing::ContainsRegex("communication +1.000 ms +25.0 %"));
  EXPECT_THAT(table, testing::ContainsRegex("the rest +0.500 ms +12.5 %"));
  EXPECT_THAT(table, HasSubstr("padding is 12.5 % of the tokens"));
  EXPECT_THAT(table, HasSubstr("MFU 25.0 %"));
}

TEST(TraceText, WithoutLimitsAStepsTimesStandAlone) {
  ObservedStep step = some_step();
  step.limits.reset();
  step.padding_share = 0;
  EXPECT_THAT(trace_lines(std::span(&step, 1)), Not(HasSubstr("\"least_seconds\":0")));
  const std::string table = trace_table(step, false);
  EXPECT_THAT(table, testing::ContainsRegex("kernels +2.500 ms"));
  for (const char* word : {"limits", "MFU", "padding"}) EXPECT_THAT(table, Not(HasSubstr(word)));
}

}  // namespace
}  // namespace batchscope
