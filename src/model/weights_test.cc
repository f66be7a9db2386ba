// Random weights: the same however they are cut, and distributed as promised. Which extra tensors matter.
#include "model/weights.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <cstring>

#include "model/weight_names.h"

namespace batchscope {
namespace {

std::vector<float> values(const WeightSource& source, const WeightShape& tensor, const Slice& slice) {
  std::vector<std::byte> scratch;
  const HostMatrix view = source.read(tensor, slice, scratch);
  std::vector<float> out;
  for (std::int64_t row = 0; row < view.rows; ++row)
    for (std::int64_t column = 0; column < view.columns; ++column) {
      float value = 0;
      std::memcpy(&value, view.data + (row * view.stride + column) * 4, 4);
      out.push_back(value);
    }
  return out;
}

TEST(RandomWeights, SlicesAreCutFromTheSameTensor) {
  rc::check("slice", [] {
    const std::int64_t rows = *rc::gen::inRange(1, 20), columns = *rc::gen::inRange(1, 20);
    const Slice slice{.row_begin = *rc::gen::inRange<std::int64_t>(0, rows),
                      .row_count = 1,
                      .column_begin = *rc::gen::inRange<std::int64_t>(0, columns),
                      .column_count = 1};
    const auto source = random_weights({}, *rc::gen::arbitrary<std::uint64_t>());
    const WeightShape tensor{"model.layers.0.mlp.up_proj.weight", rows, columns};
    const auto whole = values(*source, tensor, {0, rows, 0, columns});
    Slice rest = slice;
    rest.row_count = rows - slice.row_begin;
    rest.column_count = columns - slice.column_begin;
    const auto part = values(*source, tensor, rest);
    std::size_t next = 0;
    for (std::int64_t row = rest.row_begin; row < rows; ++row)
      for (std::int64_t column = rest.column_begin; column < columns; ++column)
        RC_ASSERT(part[next++] == whole[static_cast<std::size_t>(row * columns + column)]);
  });
}

TEST(RandomWeights, AreNearNormalWithSigmaTwoHundredths) {
  const auto source = random_weights({}, 7);
  const WeightShape tensor{"lm_head.weight", 1000, 1000};
  double sum = 0, squares = 0, fourth = 0, neighbours = 0, last = 0;
  for (const float value : values(*source, tensor, {0, 1000, 0, 1000})) {
    const double x = value / 0.02;
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
    neighbours += x * last;
    last = x;
  }
  EXPECT_NEAR(sum / 1e6, 0, 0.004);  // 4 sigma of the mean of a million
  EXPECT_NEAR(squares / 1e6, 1, 0.006);
  EXPECT_NEAR(fourth / 1e6, 2.7, 0.05);  // of a sum of four uniform numbers; 3 for a true normal
  EXPECT_NEAR(neighbours / 1e6, 0, 0.004);
}

TEST(RandomWeights, DependOnSeedAndName) {
  const Slice slice{0, 1, 0, 8};
  const auto of = [&](std::uint64_t seed, const char* name) {
    return values(*random_weights({}, seed), {name, 1, 8}, slice);
  };
  EXPECT_EQ(of(1, "a.weight"), of(1, "a.weight"));
  EXPECT_NE(of(1, "a.weight"), of(2, "a.weight"));
  EXPECT_NE(of(1, "a.weight"), of(1, "b.weight"));
  for (const char* norm : {"model.norm.weight", "model.layers.0.input_layernorm.weight"})
    for (const float value : of(1, norm)) EXPECT_NEAR(value, 1, 0.07);
}

TEST(RandomWeights, StayTheSameFromVersionToVersion) {
  const auto some = values(*random_weights({}, 42), {"model.embed_tokens.weight", 4, 4}, {2, 1, 1, 2});
  EXPECT_FLOAT_EQ(some[0], 1.480023883592969e-05f);
  EXPECT_FLOAT_EQ(some[1], -0.017719057366358395f);
}

TEST(WeightNames, ExtrasAreJudged) {
  ModelConfig config;
  config.layers = 2;
  config.tied_embeddings = true;
  EXPECT_EQ(classify_extra_tensor("model.layers.1.self_attn.rotary_emb.inv_freq", config), ExtraTensor::harmless);
  EXPECT_EQ(classify_extra_tensor("lm_head.weight", config), ExtraTensor::harmless);
  EXPECT_EQ(classify_extra_tensor("model.layers.1.self_attn.q_proj.bias", config), ExtraTensor::changes_numbers);
  EXPECT_EQ(classify_extra_tensor("model.layers.1.self_attn.q_norm.weight", config), ExtraTensor::changes_numbers);
  EXPECT_EQ(classify_extra_tensor("model.layers.2.mlp.up_proj.weight", config), ExtraTensor::unknown);
  EXPECT_EQ(classify_extra_tensor("vision.patch.weight", config), ExtraTensor::unknown);
  EXPECT_EQ(classify_extra_tensor("lm_head.bias", config), ExtraTensor::unknown);
  EXPECT_EQ(classify_extra_tensor("model.layers.1.self_attn.k_scale", config), ExtraTensor::harmless);
}

}  // namespace
}  // namespace batchscope
