// Plans against textbook formulas, which share no code with them.
#include "plan/plan.h"

#include <gtest/gtest.h>

#include <cmath>

namespace batchscope {
namespace {

constexpr std::int64_t layers = 60, hidden = 6656, intermediate = 17920, vocabulary = 32000;
constexpr std::int64_t two_bytes = 2;  // bf16

Placement layout_alone(const std::string& layout) {
  Placement placement{.layout = Layout::parse(layout), .dtype = DType::bf16};
  placement.device = parse_device(fmt::format("cuda:{}", fmt::join(std::vector<int>{0, 1, 2, 3}, ",")));
  placement.device.numbers.resize(static_cast<std::size_t>(placement.layout.ranks()));
  return placement;
}

std::int64_t use(const DevicePlan& device, MemoryUse which) { return device.bytes[static_cast<std::size_t>(which)]; }

// One batch of `batch` sequences of `length` inputs.
Plan plan_of(const std::string& layout, std::int64_t batch, std::int64_t length, const std::string& fusion = "off") {
  const ScoreRequest request{0, std::vector<std::int32_t>(static_cast<std::size_t>(length + 1)), length};
  return plan_score(parse_model_shape("llama-30b"), layout_alone(layout),
                    {.fusion = parse_fusion(fusion), .batch = batch},
                    std::vector<ScoreRequest>(static_cast<std::size_t>(batch), request));
}

// Parameters of one layer: four attention projections, three of the MLP, two norms.
constexpr std::int64_t layer_matrices = 4 * hidden * hidden + 3 * hidden * intermediate;
constexpr std::int64_t layer_norms = 2 * hidden;
constexpr std::int64_t table = vocabulary * hidden;

class Llama30bTensorParallel : public testing::TestWithParam<std::int64_t> {};

TEST_P(Llama30bTensorParallel, HoldsItsShareOfTheWeights) {
  const std::int64_t n = GetParam();
  const Plan plan = plan_of(fmt::format("tp{}", n), 8, 100);
  for (const DevicePlan& device : plan.devices)  // 52 heads, 17920 columns and 32000 rows are multiples of 2 and 4
    EXPECT_EQ(use(device, MemoryUse::weights),
              two_bytes * (layers * (layer_matrices / n + layer_norms) + table + table / n + hidden));
}

TEST_P(Llama30bTensorParallel, SendsTwoAllReducesALayerAndTheSoftmax) {
  const std::int64_t n = GetParam(), tokens = 8 * 100;
  const std::int64_t all_reduces = 2 * layers * (tokens * hidden * two_bytes);
  const std::int64_t softmax = tokens * 4 + 2 * tokens * 4;  // largest logit; sum and target
  for (const char* fusion : {"off", "on"}) {
    const Plan plan = plan_of(fmt::format("tp{}", n), 8, 100, fusion);
    for (const DevicePlan& device : plan.devices) {
      EXPECT_EQ(device.tx_bytes, (all_reduces + softmax) * 2 * (n - 1) / n);
      EXPECT_EQ(device.rx_bytes, device.tx_bytes);
    }
  }
}

TEST_P(Llama30bTensorParallel, DoesTwoOperationsAParameterAToken) {
  const std::int64_t n = GetParam(), tokens = 8 * 100;
  const Plan plan = plan_of(fmt::format("tp{}", n), 8, 100, "on");
  const double matrices =
      2.0 * static_cast<double>(tokens) * static_cast<double>(layers * layer_matrices + table) / static_cast<double>(n);
  for (const DevicePlan& device : plan.devices) {
    EXPECT_GT(device.flop, matrices);         // attention, norms and softmax come on top
    EXPECT_LT(device.flop, matrices * 1.01);  // and are few at 100 tokens
  }
}

// Scales are of output rows: those of what is cut by rows are shared out, those of what is cut by columns are not.
TEST_P(Llama30bTensorParallel, HoldsProjectionsInFp8WithAScaleARow) {
  const std::int64_t n = GetParam();
  Placement placement = layout_alone(fmt::format("tp{}", n));
  placement.weights_dtype = DType::fp8;
  const std::vector<ScoreRequest> requests(8, {0, std::vector<std::int32_t>(101), 100});
  const Plan plan = plan_score(parse_model_shape("llama-30b"), placement, {.batch = 8}, requests);
  const std::int64_t rows = (3 * hidden + 2 * intermediate) / n + 2 * hidden;
  for (const DevicePlan& device : plan.devices)
    EXPECT_EQ(use(device, MemoryUse::weights),
              layers * (layer_matrices / n + 4 * rows + two_bytes * layer_norms) +
                  two_bytes * (table + table / n + hidden));
}

INSTANTIATE_TEST_SUITE_P(Ranks, Llama30bTensorParallel, testing::Values(2, 4));

TEST(Llama30bModelParallel, HoldsWholeLayersAndSendsABoundary) {
  const std::int64_t tokens = 8 * 100, boundary = tokens * hidden * two_bytes;
  const Plan plan = plan_of("mp4", 8, 100);
  ASSERT_EQ(plan.devices.size(), 4u);
  for (std::size_t stage = 0; stage < 4; ++stage) {
    const DevicePlan& device = plan.devices[stage];
    std::int64_t parameters = layers / 4 * (layer_matrices + layer_norms);
    if (stage == 0) parameters += table;
    if (stage == 3) parameters += table + hidden;
    EXPECT_EQ(use(device, MemoryUse::weights), two_bytes * parameters);
    EXPECT_EQ(device.tx_bytes, stage < 3 ? boundary : 0);
    EXPECT_EQ(device.rx_bytes, stage > 0 ? boundary : 0);
  }
}

TEST(PlanGenerate, CountsTheKvCache) {
  const std::int64_t batch = 4, prompt = 30, fresh = 10;
  const GenerateRequest request{std::vector<std::int32_t>(static_cast<std::size_t>(prompt)), fresh};
  const Plan plan = plan_generate(parse_model_shape("llama-30b"), layout_alone("tp2"), {.batch = batch},
                                  std::vector<GenerateRequest>(static_cast<std::size_t>(batch), request));
  for (const DevicePlan& device : plan.devices)  // keys and values, every layer, half the heads
    EXPECT_EQ(use(device, MemoryUse::kv), 2 * layers * (hidden / 2) * batch * (prompt + fresh) * two_bytes);
}

// Two prompts are read once, and every token generated but the last once, in as many steps.
TEST(PlanGenerate, DoesTwoOperationsAParameterATokenAndLeavesOutTheWarmUp) {
  const std::int64_t batch = 2, prompt = 30, fresh = 10, tokens = batch * (prompt + fresh - 1);
  const GenerateRequest request{std::vector<std::int32_t>(static_cast<std::size_t>(prompt)), fresh};
  const Plan plan = plan_generate(parse_model_shape("llama-30b"), layout_alone("tp2"), {.batch = batch},
                                  std::vector<GenerateRequest>(static_cast<std::size_t>(batch), request));
  EXPECT_EQ(plan.batches, fresh);
  EXPECT_EQ(plan.tokens.computed, tokens);
  EXPECT_EQ(plan.tokens.requested, tokens);
  const double matrices = 2.0 * static_cast<double>(tokens * layers * layer_matrices + batch * fresh * table) / 2;
  for (const DevicePlan& device : plan.devices) {
    EXPECT_GT(device.flop, matrices);
    EXPECT_LT(device.flop, matrices * 1.01);
  }
}

// What is drawn needs each row's logits whole on every shard; what is most probable a pair of floats of each shard.
TEST_P(Llama30bTensorParallel, GathersLogitsToDrawFromThem) {
  const std::int64_t n = GetParam(), batch = 4, fresh = 3;
  GenerateRequest request{std::vector<std::int32_t>(30), fresh};
  const auto sent = [&] {
    const std::vector<GenerateRequest> requests(static_cast<std::size_t>(batch), request);
    return plan_generate(parse_model_shape("llama-30b"), layout_alone(fmt::format("tp{}", n)), {.batch = batch},
                         requests)
        .devices.front()
        .tx_bytes;
  };
  const std::int64_t greedy = sent();
  request.sampling.temperature = 1;
  const std::int64_t rows = batch * fresh, pair = 2 * 4;
  EXPECT_EQ(sent() - greedy, rows * (vocabulary / n * two_bytes - pair) * (n - 1));
}

TEST(LargestBatch, IsTheLastThatFits) {
  const auto plan_with = [](std::int64_t bytes) {
    Plan plan;
    plan.devices.push_back({.total_bytes = bytes});
    return plan;
  };
  const auto affine = [&](std::int64_t batch) { return plan_with(1000 + 10 * batch); };
  EXPECT_EQ(largest_batch(1 << 20, 1009, affine), 0);
  EXPECT_EQ(largest_batch(1 << 20, 1010, affine), 1);
  EXPECT_EQ(largest_batch(1 << 20, 54321, affine), 5332);
  EXPECT_EQ(largest_batch(64, 54321, affine), 64);
  const auto steps = [&](std::int64_t batch) { return plan_with(batch / 7 * 100 + (batch > 500 ? 100'000 : 0)); };
  EXPECT_EQ(largest_batch(1000, 350, steps), 27);
  EXPECT_EQ(largest_batch(1000, 50'000, steps), 500);
  const auto level = [&](std::int64_t) { return plan_with(5); };
  EXPECT_EQ(largest_batch(1000, 5, level), 1000);
}

}  // namespace
}  // namespace batchscope
