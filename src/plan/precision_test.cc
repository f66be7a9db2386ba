// What is kept narrower than what is computed in: half the memory, as planned to the byte, and nearly the same numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "engine/local_engine.h"
#include "plan/plan.h"

namespace batchscope {
namespace {

// Sizes at which every buffer fills whole units of an arena, in either dtype.
const ModelSource model{
    .random_shape = "layers=3,hidden=64,heads=8,kv_heads=4,head_dim=16,intermediate=192,vocabulary=512,qk_norm=true",
    .seed = 3};

Placement placement_of(const char* layout, std::optional<DType> weights, std::optional<DType> kv) {
  Placement placement{.layout = Layout::parse(layout), .weights_dtype = weights, .kv_dtype = kv, .threads = 1};
  placement.device = parse_device(fmt::format("cpu:{}", placement.layout.ranks()));
  return placement;
}

std::vector<ScoreRequest> some_questions() {
  std::mt19937 random(7);
  std::vector<ScoreRequest> requests;
  for (int item = 0; item < 9; ++item) {
    ScoreRequest request{item, std::vector<std::int32_t>(5 + random() % 20), 4};
    for (auto& token : request.tokens) token = static_cast<std::int32_t>(random() % 512);
    requests.push_back(std::move(request));
  }
  return requests;
}

std::vector<GenerateRequest> some_prompts() {
  std::vector<GenerateRequest> requests;
  for (std::int32_t i = 0; i < 5; ++i) {
    GenerateRequest request{.new_tokens = 4 + i};
    for (std::int32_t token = 0; token < 3 + 4 * i; ++token) request.prompt.push_back((7 * i + 11 * token) % 512);
    requests.push_back(std::move(request));
  }
  return requests;
}

std::int64_t bytes(const Plan& plan, MemoryUse use) {
  std::int64_t sum = 0;
  for (const DevicePlan& device : plan.devices) sum += device.bytes[static_cast<std::size_t>(use)];
  return sum;
}

template <class Report>
void expect_planned_memory(const Report& run, const Plan& plan) {
  ASSERT_EQ(run.devices.size(), plan.devices.size());
  for (std::size_t i = 0; i < plan.devices.size(); ++i)
    EXPECT_EQ(run.devices[i].memory.peak_bytes, plan.devices[i].total_bytes);
}

class Precisions : public testing::TestWithParam<const char*> {};

TEST_P(Precisions, WeightsInBf16TakeHalfAndScoreNearlyTheSame) {
  const ModelConfig config = read_config(model);
  const auto requests = some_questions();
  const Placement wide = placement_of(GetParam(), {}, {}), narrow = placement_of(GetParam(), DType::bf16, {});
  LocalEngine engine, narrow_engine;
  engine.load(model, wide);
  narrow_engine.load(model, narrow);
  for (const char* fusion : {"off", "on"})
    for (const std::int64_t batch : {1, 4}) {
      const RunSettings settings{.fusion = parse_fusion(fusion), .batch = batch};
      const Plan wide_plan = plan_score(config, wide, settings, requests);
      const Plan plan = plan_score(config, narrow, settings, requests);
      const ScoreReport want = engine.score(requests, settings, nullptr);
      const ScoreReport run = narrow_engine.score(requests, settings, nullptr);
      expect_planned_memory(run, plan);
      double largest = 0;
      for (std::size_t i = 0; i < requests.size(); ++i)
        largest = std::max(largest, std::abs(run.log_likelihoods[i] - want.log_likelihoods[i]));
      EXPECT_GT(largest, 0);
      EXPECT_LT(largest, 0.1);  // four tokens whose logits, of about 6, follow from weights with eight bits of mantissa
      // All but norms is matrices.
      const std::int64_t norms =
          bytes(plan, MemoryUse::weights) * 2 - bytes(wide_plan, MemoryUse::weights);
      EXPECT_GE(norms, 0);
      EXPECT_LT(norms, bytes(plan, MemoryUse::weights) / 20);
    }
}

// Layers' projections take a quarter, and a scale a row; embedding and vocabulary projection stay as they are.
TEST_P(Precisions, ProjectionsInFp8TakeAQuarterAndEveryLayoutHasTheSameOnes) {
  const ModelConfig config = read_config(model);
  const auto requests = some_questions();
  const Placement wide = placement_of(GetParam(), {}, {}), narrow = placement_of(GetParam(), DType::fp8, {});
  LocalEngine engine, wide_engine, single;
  engine.load(model, narrow);
  wide_engine.load(model, wide);
  single.load(model, placement_of("tp1", DType::fp8, {}));
  for (const char* fusion : {"off", "on"})
    for (const std::int64_t batch : {1, 4}) {
      const RunSettings settings{.fusion = parse_fusion(fusion), .batch = batch};
      const Plan plan = plan_score(config, narrow, settings, requests);
      const Plan wide_plan = plan_score(config, wide, settings, requests);
      const ScoreReport run = engine.score(requests, settings, nullptr);
      expect_planned_memory(run, plan);
      const ScoreReport same = single.score(requests, settings, nullptr);
      const ScoreReport exact = wide_engine.score(requests, settings, nullptr);
      double largest = 0;
      for (std::size_t i = 0; i < requests.size(); ++i) {
        EXPECT_NEAR(run.log_likelihoods[i], same.log_likelihoods[i], 1e-3);
        largest = std::max(largest, std::abs(run.log_likelihoods[i] - exact.log_likelihoods[i]));
      }
      EXPECT_GT(largest, 0);
      EXPECT_LT(largest, 0.5);  // three bits of mantissa where bf16 has seven
      const std::int64_t projection = config.hidden * (config.heads + 2 * config.kv_heads) * config.head_dim +
                                      config.hidden * config.heads * config.head_dim +
                                      3 * config.hidden * config.intermediate;
      const std::int64_t saved = bytes(wide_plan, MemoryUse::weights) - bytes(plan, MemoryUse::weights);
      EXPECT_LT(saved, 3 * config.layers * projection);
      EXPECT_GT(saved, 27 * config.layers * projection / 10);
    }
}

// Both layouts of FP8 checkpoints, with the scores that transformers gives of their values (tools/fp8_files.py): multiplied
// out while loading, and kept as they are, whatever a layout cuts.
TEST_P(Precisions, CheckpointsInFp8ScoreAsTheirValuesDo) {
  for (const char* form : {"channel", "blocks"}) {
    const auto folder = std::filesystem::path(BATCHSCOPE_SOURCE_DIR) / "src/model/testdata/fp8" / form;
    const ModelSource source{.path = folder.string()};
    const auto golden = nlohmann::json::parse(std::ifstream(folder / "scores.json"));
    std::vector<ScoreRequest> requests;
    for (const auto& item : golden)
      requests.push_back({static_cast<int>(requests.size()), item.at("tokens").get<std::vector<std::int32_t>>(),
                          item.at("scored").get<int>()});
    const ModelConfig config = read_config(source);
    for (const std::optional<DType> weights : {std::optional<DType>(), std::optional(DType::fp8)}) {
      const Placement placement = placement_of(GetParam(), weights, {});
      LocalEngine engine;
      engine.load(source, placement);
      for (const char* fusion : {"off", "on"})
        for (const std::int64_t batch : {1, 3}) {
          const RunSettings settings{.fusion = parse_fusion(fusion), .batch = batch};
          const ScoreReport run = engine.score(requests, settings, nullptr);
          expect_planned_memory(run, plan_score(config, placement, settings, requests));
          for (std::size_t i = 0; i < requests.size(); ++i)
            EXPECT_NEAR(run.log_likelihoods[i], golden[i].at("log_likelihood").get<double>(), 1e-3)
                << form << (weights ? " kept" : " multiplied out") << ", fusion " << fusion << ", batch " << batch;
        }
    }
  }
}

TEST_P(Precisions, AKvCacheInBf16TakesHalfAndAllFormsAgree) {
  const ModelConfig config = read_config(model);
  const auto requests = some_prompts();
  const Placement wide = placement_of(GetParam(), {}, {}), narrow = placement_of(GetParam(), {}, DType::bf16);
  LocalEngine engine;
  engine.load(model, narrow);
  std::vector<std::vector<std::int32_t>> first;
  for (const char* fusion : {"off", "on", "attention"}) {
    const RunSettings settings{.fusion = parse_fusion(fusion), .batch = 3};
    const Plan plan = plan_generate(config, narrow, settings, requests);
    const GenerateReport run = engine.generate(requests, settings, nullptr, {});
    expect_planned_memory(run, plan);
    EXPECT_EQ(2 * bytes(plan, MemoryUse::kv),
              bytes(plan_generate(config, wide, settings, requests), MemoryUse::kv));
    std::vector<std::vector<std::int32_t>> tokens;
    for (const auto& sequence : run.sequences) tokens.push_back(sequence.tokens);
    if (first.empty()) first = tokens;
    EXPECT_EQ(tokens, first) << fusion;
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, Precisions, testing::Values("tp1", "tp2", "mp2"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(Precision, WhatIsWiderThanWhatIsComputedInIsRefused) {
  LocalEngine engine;
  Placement placement = placement_of("tp1", DType::f16, {});
  EXPECT_THROW(engine.load(model, placement), InputError);
  placement = placement_of("tp1", {}, DType::fp8);
  EXPECT_THROW(engine.load(model, placement), InputError);
  placement = placement_of("tp1", {}, DType::f32);
  placement.dtype = DType::bf16;
  EXPECT_THROW(engine.load(model, placement), InputError);
}

}  // namespace
}  // namespace batchscope
