// Formulas, intervals, warm-up and validity.
#include "load/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/error.h"

namespace batchscope::load {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// Tokens at these milliseconds, one each.
LoadRequestRecord answered(int intended, int sent, std::vector<int> tokens) {
  LoadRequestRecord request{.outcome = "ok",
                            .intended = milliseconds(intended),
                            .due = milliseconds(intended),
                            .started = milliseconds(sent),
                            .sent = milliseconds(sent),
                            .first_byte = milliseconds(sent + 1),
                            .end = milliseconds(tokens.back() + 1),
                            .asked_output_tokens = std::ssize(tokens),
                            .prompt_tokens = 5,
                            .output_tokens = std::ssize(tokens)};
  request.chunks.push_back({.at = milliseconds(sent + 1), .tokens = 0});  // its role
  for (const int at : tokens) request.chunks.push_back({.at = milliseconds(at), .tokens = 1});
  return request;
}

TEST(Metrics, FormulasOfOneRequest) {
  const LoadRequestRecord request = answered(0, 10, {60, 80, 110});
  EXPECT_EQ(value_of(Metric::ttft, request), milliseconds(50));
  EXPECT_EQ(value_of(Metric::ttft_intended, request), milliseconds(60));
  EXPECT_EQ(value_of(Metric::tpot, request), milliseconds(25));
  EXPECT_EQ(value_of(Metric::e2e, request), milliseconds(100));
  EXPECT_EQ(value_of(Metric::e2e_intended, request), milliseconds(110));
  EXPECT_EQ(value_of(Metric::ntpot, request), Nanoseconds(milliseconds(100)) / 3);
  EXPECT_THAT(gaps_of(Metric::itl, request), testing::ElementsAre(milliseconds(20), milliseconds(30)));
}

TEST(Metrics, TokensOfOneChunkComeTogether) {
  LoadRequestRecord request = answered(0, 0, {10, 30});
  request.chunks.back().tokens = 3;
  request.output_tokens = 4;
  EXPECT_THAT(gaps_of(Metric::itl, request), testing::ElementsAre(milliseconds(20), Nanoseconds(0), Nanoseconds(0)));
  EXPECT_THAT(gaps_of(Metric::icl, request), testing::ElementsAre(milliseconds(20)));
  request.chunks.back().tokens.reset();
  EXPECT_TRUE(gaps_of(Metric::itl, request).empty());
  EXPECT_EQ(gaps_of(Metric::icl, request).size(), 1U);
}

TEST(Metrics, WhatIsUnknownIsAbsent) {
  LoadRequestRecord request = answered(0, 0, {10, 30});
  request.output_tokens.reset();
  EXPECT_FALSE(value_of(Metric::tpot, request) || value_of(Metric::ntpot, request));
  EXPECT_TRUE(value_of(Metric::ttft, request));
  request.chunks.clear();  // not streamed
  EXPECT_FALSE(value_of(Metric::ttft, request));
  EXPECT_EQ(value_of(Metric::e2e, request), milliseconds(31));
  EXPECT_FALSE(value_of(Metric::tpot, answered(0, 0, {10})));
}

TEST(Metrics, UpperBoundOfP99NeedsEnoughValues) {
  std::vector<double> values(100);
  std::iota(values.begin(), values.end(), 0.0);
  EXPECT_FALSE(quantile_interval(values, 0.99).high);
  EXPECT_TRUE(quantile_interval(values, 0.99).low);
  EXPECT_NEAR(quantile_interval(values, 0.99).value, 98.01, 1e-9);
  values.resize(367);
  std::iota(values.begin(), values.end(), 0.0);
  EXPECT_FALSE(quantile_interval(values, 0.99).high);
  values.push_back(367);
  EXPECT_EQ(quantile_interval(values, 0.99).high, 367);
  EXPECT_FALSE(quantile_interval(values, 0.99, false).low);
  const double one[] = {4};
  EXPECT_EQ(quantile_interval(one, 0.5).value, 4);
  EXPECT_FALSE(quantile_interval(one, 0.5).low || quantile_interval(one, 0.5).high);
}

// Of many samples of an exponential distribution at least 95 % of the intervals hold its quantile, and not all do.
TEST(Metrics, IntervalsCoverTheQuantile) {
  std::mt19937_64 random(5);
  for (const double share : {0.5, 0.9}) {
    const double truth = -std::log(1 - share);
    int covered = 0;
    for (int repeat = 0; repeat < 2000; ++repeat) {
      std::vector<double> sample(80);
      for (double& value : sample) value = -std::log((static_cast<double>(random() >> 11) + 1) * 0x1p-53);
      std::sort(sample.begin(), sample.end());
      const QuantileInterval interval = quantile_interval(sample, share);
      covered += interval.low.value_or(-1) <= truth && truth <= interval.high.value_or(1e9);
    }
    EXPECT_GE(covered, 1880) << share;
    EXPECT_LE(covered, 1980) << share;
  }
}

TEST(Metrics, ChangePointIsFoundWhereItIsAndNowhereElse) {
  std::mt19937_64 random(3);
  const auto noise = [&] { return static_cast<double>(random() % 1000) * 1e-3; };
  std::vector<double> values;
  for (int i = 0; i < 500; ++i) values.push_back(noise() + (i < 40 ? 5 : 0));
  EXPECT_NEAR(static_cast<double>(change_point(values)), 40, 5);
  std::vector<double> rising(values.rbegin(), values.rend());  // slower at the end is no warm-up
  EXPECT_EQ(change_point(rising), 0U);
  int found = 0;
  for (int repeat = 0; repeat < 300; ++repeat) {
    std::vector<double> steady(200);
    for (double& value : steady) value = noise();
    found += change_point(steady) > 0;
  }
  EXPECT_LE(found, 3);
  EXPECT_EQ(change_point(std::vector<double>(300, 1.0)), 0U);
}

TEST(Metrics, SummaryCountsFailuresApart) {
  std::vector<LoadRequestRecord> requests;
  for (int i = 0; i < 10; ++i) requests.push_back(answered(100 * i, 100 * i, {100 * i + 50, 100 * i + 60}));
  requests[3].outcome = "stalled";
  requests[4].outcome = "http_429";
  const LoadSummary summary = summarize(requests, {.slo = parse_slo("ttft=55ms,tpot=10ms", "--slo")});
  EXPECT_EQ(summary.answered, 8);
  EXPECT_EQ(summary.outcomes.at("stalled"), 1);
  EXPECT_EQ(summary.output_tokens, 16);
  EXPECT_NEAR(summary.seconds, 0.961, 1e-9);
  EXPECT_NEAR(*summary.offered_per_s, 10, 1e-9);
  EXPECT_EQ(summary.most_at_once, 1);
  EXPECT_EQ(summary.goodput->met, 8);
  EXPECT_NEAR(summary.goodput->share, 0.8, 1e-9);
  EXPECT_TRUE(summary.invalid.empty());
  EXPECT_EQ(summarize(requests, {.slo = parse_slo("ttft=49ms", "--slo")}).goodput->met, 0);
  EXPECT_EQ(summarize(requests, {.warm_up = 4}).answered, 5);
}

TEST(Metrics, OneUnknownCountMakesTheSumUnknown) {
  std::vector<LoadRequestRecord> requests{answered(0, 0, {10, 20}), answered(0, 0, {10, 20})};
  requests[1].output_tokens.reset();
  const LoadSummary summary = summarize(requests, {.slo = parse_slo("tpot=1s", "--slo")});
  EXPECT_FALSE(summary.output_tokens || summary.output_tokens_per_s);
  EXPECT_EQ(summary.unknown_tokens, 1);
  EXPECT_EQ(summary.goodput->unknown, 1);
}

TEST(Metrics, ClientThatLagsMakesARunInvalid) {
  std::vector<LoadRequestRecord> requests;
  for (int i = 0; i < 50; ++i) requests.push_back(answered(100 * i, 100 * i + 2, {100 * i + 60}));
  const LoadSummary summary = summarize(requests, {});
  ASSERT_EQ(summary.invalid.size(), 1U);
  EXPECT_THAT(summary.invalid[0], HasSubstr("could not keep up"));
  EXPECT_THAT(summarize({}, {}).invalid[0], HasSubstr("no request was answered"));
}

TEST(Metrics, SloIsReadAndRefused) {
  const auto slo = parse_slo("ttft=200ms,itl=1s", "--slo");
  EXPECT_EQ(slo[1].most, std::chrono::seconds(1));
  EXPECT_EQ(slo_text(slo), "TTFT ≤ 200 ms, ITL ≤ 1000 ms");
  EXPECT_THROW(parse_slo("tft=3ms", "--slo"), InputError);
  EXPECT_THROW(parse_slo("ttft", "--slo"), InputError);
  EXPECT_THROW(parse_slo("ttft=3", "--slo"), InputError);
}

}  // namespace
}  // namespace batchscope::load
