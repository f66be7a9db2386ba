// Tests of drawing tokens: distribution, nucleus, extremes, and rows whose vocabulary lies in parts.
#include "ops/sample_tokens.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "ops/test_device.h"

namespace batchscope {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr double almost_one = 1 - 0x1p-53;

// How often each token is drawn in `draws` draws.
std::vector<int> counts_of(const std::vector<float>& logits, TokenDraw draw, int draws) {
  std::mt19937_64 random(5);
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) {
    draw.uniform = static_cast<double>(random() >> 11) * 0x1p-53;
    ++counts[static_cast<std::size_t>(sample_token(logits, draw))];
  }
  return counts;
}

// Pearson's statistic against softmax(logits / temperature) of the first `kept` tokens, which are the most probable.
double chi_square(const std::vector<float>& logits, double temperature, double top_p, std::size_t kept) {
  constexpr int draws = 20000;
  const auto counts = counts_of(logits, {temperature, top_p}, draws);
  std::vector<double> weights;
  for (const float logit : logits) weights.push_back(std::exp(static_cast<double>(logit) / temperature));
  const double total = std::accumulate(weights.begin(), weights.begin() + static_cast<std::ptrdiff_t>(kept), 0.0);
  double statistic = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (i >= kept) {
      EXPECT_EQ(counts[i], 0);
      continue;
    }
    const double expected = draws * weights[i] / total;
    statistic += std::pow(counts[i] - expected, 2) / expected;
  }
  return statistic;
}

const std::vector<float> falling{1.5f, 1.0f, 0.5f, 0.0f, -0.5f, -1.0f};

// The 99.9 % points of chi-square with 5 and 2 degrees of freedom are 20.5 and 13.8.
TEST(SampleToken, DrawsByProbability) {
  for (const double temperature : {0.5, 1.0, 2.0}) EXPECT_LT(chi_square(falling, temperature, 1, 6), 20.5);
  // The first three have 0.39, 0.24 and 0.15 of the probability: 0.78 together, and 0.63 without the third.
  EXPECT_LT(chi_square(falling, 1, 0.7, 3), 13.8);
}

TEST(SampleToken, TemperatureZeroTakesTheFirstOfTheLargest) {
  for (const double uniform : {0.0, 0.5, almost_one}) {
    EXPECT_EQ(sample_token(std::vector{1.0f, 3.0f, 3.0f, 2.0f}, {0, 1, uniform}), 1);
    EXPECT_EQ(sample_token(std::vector{1.0f, 3.0f, 3.1f, 2.0f}, {1e-300, 1, uniform}), 2);
    EXPECT_EQ(sample_token(std::vector{1.0f, 3.0f, 3.1f, 2.0f}, {1e-4, 1, uniform}), 2);
  }
}

TEST(SampleToken, HighTemperaturesLevelEverythingButTheImpossible) {
  const auto counts = counts_of({100, -100, -infinity, 0}, {1e300, 1}, 9000);
  EXPECT_EQ(counts[2], 0);
  for (const std::size_t i : {0u, 1u, 3u}) EXPECT_NEAR(counts[i], 3000, 200);
}

TEST(SampleToken, NucleusIsTheFewestThatReachTopP) {
  const auto kept = [](const std::vector<float>& logits, double top_p) {
    std::vector<int> tokens;
    const auto counts = counts_of(logits, {1, top_p}, 4000);
    for (std::size_t i = 0; i < counts.size(); ++i)
      if (counts[i] > 0) tokens.push_back(static_cast<int>(i));
    return tokens;
  };
  using Tokens = std::vector<int>;
  const float half = std::log(0.5f), quarter = std::log(0.25f), eighth = std::log(0.125f);
  const std::vector<float> logits{eighth, quarter, half, eighth};
  EXPECT_EQ(kept(logits, 1e-300), Tokens({2}));
  EXPECT_EQ(kept(logits, 0.4), Tokens({2}));
  EXPECT_EQ(kept(logits, 0.6), Tokens({1, 2}));
  EXPECT_EQ(kept(logits, 0.8), Tokens({0, 1, 2}));  // of the two equal ones the first
  EXPECT_EQ(kept(logits, 0.9), Tokens({0, 1, 2, 3}));
  EXPECT_EQ(kept(logits, almost_one), Tokens({0, 1, 2, 3}));
  EXPECT_EQ(kept(logits, 1), Tokens({0, 1, 2, 3}));
  EXPECT_EQ(kept({0, 0, 0, 0}, 0.3), Tokens({0, 1}));  // all equal
  EXPECT_EQ(kept({-infinity, 2, -infinity}, 0.99), Tokens({1}));
  EXPECT_EQ(kept({3}, 0.5), Tokens({0}));
}

// The same set as by sorting everything, in a vocabulary with many ties.
TEST(SampleToken, NucleusIsThatOfAWholeSort) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<float> logits(1 + random() % 400);
    for (float& logit : logits) logit = static_cast<float>(random() % 20) * 0.25f;
    const double top_p = static_cast<double>(1 + random() % 99) / 100;
    std::vector<std::size_t> order(logits.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
    double total = 0, reached = 0;
    for (const float logit : logits) total += std::exp(static_cast<double>(logit));
    std::size_t kept = 0;
    while (reached < top_p * total * (1 - 1e-6)) reached += std::exp(static_cast<double>(logits[order[kept++]]));
    // The greatest id of the nucleus is drawn by the greatest number below 1, the least by 0.
    const auto [low, high] = std::minmax_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept));
    EXPECT_EQ(sample_token(logits, {1, top_p, 0}), static_cast<std::int32_t>(*low));
    EXPECT_EQ(sample_token(logits, {1, top_p, almost_one}), static_cast<std::int32_t>(*high));
  }
}

TEST(SampleToken, NeverDrawsWhatIsNoNumber) {
  const float nan = std::nanf("");
  for (const double uniform : {0.0, 0.3, almost_one}) {
    EXPECT_EQ(sample_token(std::vector{-infinity, 0.0f, nan}, {1, 1, uniform}), 1);
    EXPECT_EQ(sample_token(std::vector{-infinity, -infinity}, {1, 1, uniform}), 0);
    EXPECT_EQ(sample_token(std::vector{0.0f, infinity}, {1, 0.5, uniform}), 1);
  }
}

Tensor draw_table(TestDevice& device, const std::vector<TokenDraw>& draws) {
  return device.integers(std::ssize(draws), draw_words, reinterpret_cast<const std::int32_t*>(draws.data()));
}

TEST(SampleTokens, ARowWithoutAllItsLogitsHasNoToken) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    const float nan = std::nanf("");
    const Tensor logits = device.floats(dtype, 2, 3, {0, nan, 2, 3, 1, 0}, gap);
    const Tensor out = device.empty(DType::i32, 1, 2);
    sample_tokens(device, logits, 3, draw_table(device, {{1, 1, 0.5}, {}}), out);
    EXPECT_EQ(device->download(out), (std::vector<float>{-1, 0}));
  });
}

TEST(SampleTokens, ReadsRowsWhoseVocabularyLiesInParts) {
  for_each_variant([](TestDevice& device, DType dtype, std::int64_t gap) {
    // Two rows in each part; the second part is one narrower, and what stands there is not looked at.
    const Tensor logits = device.floats(dtype, 4, 3, {0, 1, 2, 9, 1, 0, 7, 5, 99, 1, 2, 99}, gap);
    const std::vector<TokenDraw> draws{{}, {1e-3, 0.5, 0.5}};
    const Tensor out = device.empty(DType::i32, 1, 2);
    sample_tokens(device, logits, 5, draw_table(device, draws), out);
    EXPECT_EQ(device->download(out), (std::vector<float>{3, 0}));
  });
}

}  // namespace
}  // namespace batchscope
