// RoPE's frequencies against those that transformers 5.23 computes (LlamaRotaryEmbedding.inv_freq).
#include "model/rope_frequencies.h"

#include <gtest/gtest.h>

#include <cmath>

namespace batchscope {
namespace {

using Kind = RopeScaling::Kind;

struct Reference {
  const char* name;
  std::int64_t head_dim;
  double theta;
  RopeScaling scaling;
  std::int64_t length;  // of a model made for 512
  std::vector<double> frequencies;
};

RopeScaling yarn(double beta_fast, double beta_slow, bool truncate) {
  return {.kind = Kind::yarn,
          .factor = 4,
          .original_positions = 128,
          .beta_fast = beta_fast,
          .beta_slow = beta_slow,
          .truncate = truncate};
}

class Frequencies : public testing::TestWithParam<Reference> {};

TEST_P(Frequencies, AreTransformers) {
  const Reference& reference = GetParam();
  ModelConfig config;
  config.head_dim = reference.head_dim;
  config.max_positions = 512;
  config.rope_theta = reference.theta;
  config.rope_scaling = reference.scaling;
  const auto got = inverse_frequencies(config, reference.length);
  ASSERT_EQ(got.size(), reference.frequencies.size());
  for (std::size_t i = 0; i < got.size(); ++i)  // a few roundings to f32
    EXPECT_NEAR(got[i], reference.frequencies[i], 4e-7 * reference.frequencies[i]) << "frequency " << i;
}

const RopeScaling linear{.kind = Kind::linear, .factor = 2.5};
const RopeScaling dynamic{.kind = Kind::dynamic, .factor = 2.5};
const RopeScaling llama3_scaling{.kind = Kind::llama3, .factor = 8, .original_positions = 64};

INSTANTIATE_TEST_SUITE_P(
    All, Frequencies,
    testing::Values(
        Reference{"plain", 10, 5e5, {}, 1, {1.0, 0.07247796, 0.0052530556, 0.00038073066, 2.759459e-05}},
        Reference{"linear", 10, 1e4, linear, 1, {0.4, 0.063395724, 0.010047546, 0.0015924282, 0.00025238292}},
        Reference{"dynamic_within", 10, 1e4, dynamic, 512, {1.0, 0.15848932, 0.025118863, 0.0039810706, 0.00063095731}},
        Reference{"dynamic_beyond", 10, 1e4, dynamic, 700, {1.0, 0.13467582, 0.018137574, 0.0024426922, 0.0003289716}},
        Reference{"llama3_scaling",
                  16,
                  1e4,
                  llama3_scaling,
                  1,
                  {1.0, 0.24438459, 0.013042256, 0.0039528473, 0.00125, 0.00039528473, 0.000125, 3.9528473e-05}},
        Reference{"yarn",
                  16,
                  1e4,
                  yarn(32, 1, true),
                  1,
                  {1.0, 0.23717082, 0.05, 0.0079056947, 0.0025, 0.00079056947, 0.00025, 7.9056947e-05}},
        Reference{"yarn_untruncated",
                  16,
                  1e4,
                  yarn(8, 2, false),
                  1,
                  {1.0, 0.27917454, 0.025996597, 0.0079056947, 0.0025, 0.00079056947, 0.00025, 7.9056947e-05}},
        Reference{"yarn_step",
                  16,
                  1e4,
                  yarn(5, 5, true),
                  1,
                  {1.0, 0.31622776, 0.025, 0.0079056947, 0.0025, 0.00079056947, 0.00025, 7.9056947e-05}}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(RopeFrequencies, DivisorsComeOnTop) {
  ModelConfig config;
  config.head_dim = 4;
  config.rope_theta = 10000;
  config.rope_scaling = {.kind = Kind::linear, .factor = 2, .divisors = {1, 4}};
  EXPECT_EQ(inverse_frequencies(config, 1), (std::vector<float>{0.5f, 0.00125f}));
}

TEST(YarnAttentionFactor, GrowsWithTheLogarithm) {
  EXPECT_EQ(yarn_attention_factor(1), 1);
  EXPECT_DOUBLE_EQ(yarn_attention_factor(4), 1.138629436111989);
  EXPECT_NEAR(yarn_attention_factor(4, 2) / yarn_attention_factor(4, 0.5), 1.1944648761087142, 1e-15);
}

}  // namespace
}  // namespace batchscope
