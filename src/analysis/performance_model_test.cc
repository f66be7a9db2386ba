// The model against steps whose times follow a known law.
#include "analysis/performance_model.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

namespace batchscope {
namespace {

// A machine: 1 GFLOP/s, 1 GB/s, 2 us a kernel, 10 us and 1 ns a byte a collective, 50 us on the host a step.
double seconds_of(const Work& work) {
  if (work.n > 0) return 2e-6 + std::max(work.flop, static_cast<double>(work.bytes)) / 1e9;
  return 2e-6 + work.flop / 1e9 + static_cast<double>(work.bytes) / 1e9;
}
double seconds_of(const CollectiveWork& work) {
  return work.collective == "send" ? 0 : 10e-6 + static_cast<double>(work.payload_bytes) / 1e9;
}
constexpr double host_s = 50e-6, new_shape_s = 300e-6;

Work product(std::int64_t m, std::int64_t n, std::int64_t k) {
  return {"linear", 2.0 * static_cast<double>(m * n * k), 4 * (m * k + n * k + m * n), DType::f32, m, n, k};
}
Work norm(std::int64_t rows, std::int64_t width) {
  return {"rms_norm", 4.0 * static_cast<double>(rows * width), 8 * rows * width, DType::f32, rows * width};
}
CollectiveWork all_reduce(std::int64_t bytes, std::int64_t kernels = 0) {
  return {.collective = "all_reduce", .algorithm = "ring", .phase = "mlp", .ranks = 2, .payload_bytes = bytes, .kernels = kernels};
}
CollectiveWork hop(const char* side, std::int64_t bytes) {
  return {.collective = side, .algorithm = "direct", .phase = "boundary", .ranks = 2, .payload_bytes = bytes};
}

// A stage's part of a step of so many rows; the all-reduce has a kernel of its own in front.
Trace stage(std::int64_t rows, bool receives = false) {
  Trace trace;
  if (receives) trace.add(hop("recv", 4 * rows * 64));
  for (int layer = 0; layer < 3; ++layer) {
    trace.add(product(rows, 64, 64));
    trace.add(norm(rows, 64));
    trace.add(norm(1, 1));
    trace.add(all_reduce(4 * rows * 64, 1));
  }
  return trace;
}

std::vector<TimedEntry> timed(const Trace& trace) {
  std::vector<TimedEntry> entries;
  for (const TraceEntry& entry : trace.entries()) {
    if (const auto* collective = std::get_if<CollectiveWork>(&entry))
      entries.resize(entries.size() - static_cast<std::size_t>(collective->kernels));
    entries.push_back({entry, std::visit([](const auto& work) { return seconds_of(work); }, entry)});
  }
  return entries;
}

double sum(const std::vector<TimedEntry>& entries) {
  double total = 0;
  for (const TimedEntry& entry : entries) total += entry.seconds;
  return total;
}

// Steps in sequence over the layout's stages.
std::vector<TimedStep> steps_of(const Layout& layout, const std::vector<std::int64_t>& rows) {
  std::vector<TimedStep> steps;
  for (const std::int64_t m : rows) {
    TimedStep step{.seconds = host_s};
    for (std::int64_t s = 0; s < layout.stages(); ++s) step.stages.push_back(timed(stage(m, s > 0)));
    for (const auto& entries : step.stages) step.seconds += sum(entries);
    step.first_seconds = step.seconds + new_shape_s;
    steps.push_back(step);
  }
  return steps;
}

const Layout tp2 = Layout::parse("tp2"), mp2 = Layout::parse("mp2"), pp2 = Layout::parse("pp2");

TEST(PerformanceModel, HasTheTimesThatWereMeasured) {
  const PerformanceModel model(tp2, steps_of(tp2, {1, 8, 64, 256}));
  for (const std::int64_t m : {1, 8, 64, 256}) {
    EXPECT_NEAR(model.seconds(product(m, 64, 64)).value(), seconds_of(product(m, 64, 64)), 1e-12);
    EXPECT_NEAR(model.seconds(norm(m, 64)).value() / seconds_of(norm(m, 64)), 1, 0.02);
    EXPECT_NEAR(model.seconds(all_reduce(256 * m)).value() / seconds_of(all_reduce(256 * m)), 1, 0.02);
  }
  EXPECT_NEAR(model.host_seconds(), host_s, 2e-6);
  EXPECT_NEAR(model.new_shape_seconds(), new_shape_s, 1e-9);
}

TEST(PerformanceModel, BetweenAndBeyondSizesItKeepsTheRate) {
  const PerformanceModel model(tp2, steps_of(tp2, {16, 64, 256}));
  for (const std::int64_t m : {16, 40, 100, 256, 1000, 20000})
    EXPECT_NEAR(model.seconds(product(m, 64, 64)).value() / seconds_of(product(m, 64, 64)), 1, 0.05) << m;
  // Twice as wide, and twice as deep: the nearest product's rate.
  EXPECT_NEAR(model.seconds(product(256, 128, 128)).value() / seconds_of(product(256, 128, 128)), 1, 0.05);
  // Few rows are bound by the weight: no less than the fewest measured.
  EXPECT_DOUBLE_EQ(model.seconds(product(1, 64, 64)).value(), model.seconds(product(16, 64, 64)).value());
}

TEST(PerformanceModel, WhatWasNotMeasuredIsNotKnown) {
  const PerformanceModel model(tp2, steps_of(tp2, {16, 64}));
  EXPECT_FALSE(model.seconds(Work{"swiglu", 1, 1, DType::f32, 1}));
  Work other = product(16, 64, 64);
  other.dtype = DType::bf16;
  EXPECT_FALSE(model.seconds(other));
  CollectiveWork wider = all_reduce(1);
  wider.ranks = 4;
  EXPECT_FALSE(model.seconds(wider));
  Trace trace = stage(16);
  trace.add(other);
  EXPECT_FALSE(model.seconds(trace));
  RunTime run(model);
  run.add(0, trace, 1);
  run.add(1, stage(16), 1);
  EXPECT_FALSE(run.seconds());
}

TEST(PerformanceModel, ACollectivesOwnKernelsAreInItsTime) {
  const PerformanceModel model(tp2, steps_of(tp2, {16, 64, 256}));
  EXPECT_NEAR(model.seconds(stage(64)).value() / sum(timed(stage(64))), 1, 0.02);
}

// 100 batches of 64 rows and 7 of 16: the second shape is new once.
TEST(RunTime, AddsUpBatchesByLayout) {
  const double long_stage = sum(timed(stage(64))), short_stage = sum(timed(stage(16)));
  const auto seconds = [&](const Layout& layout) {
    std::vector<TimedStep> steps = steps_of(layout, {16, 64, 256});
    if (layout.micro_batches())
      for (TimedStep& step : steps) step.is_pipelined = true, step.repeats = 1000, step.seconds = sum(step.stages[1]) + host_s;
    const PerformanceModel model(layout, steps);
    RunTime run(model);
    for (int rank = 0; rank < layout.ranks(); ++rank) {
      const bool receives = layout.place(rank).stage > 0;
      run.add(rank, stage(64, receives), 100);
      run.add(rank, stage(16, receives), 7);
    }
    return run.seconds().value();
  };
  const double host = 107 * host_s + new_shape_s;
  EXPECT_NEAR(seconds(tp2) / (100 * long_stage + 7 * short_stage + host), 1, 0.02);
  const double hops = 100 * seconds_of(hop("recv", 4 * 64 * 64)) + 7 * seconds_of(hop("recv", 4 * 16 * 64));
  EXPECT_NEAR(seconds(mp2) / (200 * long_stage + 14 * short_stage + hops + host), 1, 0.02);
  EXPECT_LT(seconds(pp2), 0.6 * seconds(mp2));
  EXPECT_GT(seconds(pp2), 0.5 * (200 * long_stage + 14 * short_stage));
  // The longer replica's.
  const Layout dp2 = Layout::parse("dp2");
  const PerformanceModel model(dp2, steps_of(tp2, {16, 64}));
  RunTime run(model);
  run.add(0, stage(64), 3);
  run.add(1, stage(64), 2);
  EXPECT_NEAR(run.seconds().value() / (3 * (long_stage + host_s)), 1, 0.02);
}

RC_GTEST_PROP(PerformanceModel, MoreTokensNeverTakeLess, ()) {
  // Whatever was measured, even if it is noise.
  std::vector<TimedStep> steps = steps_of(mp2, {1, 4, 32, 128});
  for (TimedStep& step : steps)
    for (auto& entries : step.stages)
      for (TimedEntry& entry : entries) entry.seconds *= *rc::gen::inRange(1, 100) / 10.0;
  const PerformanceModel model(mp2, steps);
  const auto rows = *rc::gen::inRange<std::int64_t>(1, 1000), more = rows + *rc::gen::inRange<std::int64_t>(0, 1000);
  RC_ASSERT(model.seconds(stage(rows, true)).value() <= model.seconds(stage(more, true)).value() * (1 + 1e-12));
  RC_ASSERT(model.seconds(stage(rows)).value() > 0);
}

RC_GTEST_PROP(FitNonNegative, FindsWhatMadeTheValues, ()) {
  const std::vector<double> truth{*rc::gen::inRange(0, 5) * 1e-6, *rc::gen::inRange(0, 5) * 1e-9, *rc::gen::inRange(1, 5) * 1e-9};
  std::vector<std::vector<double>> features;
  std::vector<double> values;
  for (int i = 0; i < 12; ++i) {
    features.push_back({1, static_cast<double>(*rc::gen::inRange(1, 100'000)), static_cast<double>(*rc::gen::inRange(1, 100'000))});
    values.push_back(truth[0] + truth[1] * features.back()[1] + truth[2] * features.back()[2]);
  }
  const auto found = fit_non_negative(features, values);
  for (const double coefficient : found) RC_ASSERT(coefficient >= 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double fitted = found[0] + found[1] * features[i][1] + found[2] * features[i][2];
    RC_ASSERT(std::abs(fitted / values[i] - 1) < 0.05);
  }
}

TEST(FitNonNegative, NothingIsNothing) { EXPECT_TRUE(fit_non_negative({}, {}).empty()); }

}  // namespace
}  // namespace batchscope
