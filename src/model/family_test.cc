// The family's members as config.json spells them: biases, QK norm, windows, and every spelling of RoPE.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "model/config.h"
#include "model/test_config.h"

namespace batchscope {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using Kind = RopeScaling::Kind;

json member(const std::string& architecture, const std::string& type, const json& more = json::object()) {
  json config = {{"architectures", {architecture}}, {"model_type", type},     {"hidden_size", 64},
                 {"intermediate_size", 172},        {"num_hidden_layers", 4}, {"num_attention_heads", 8},
                 {"num_key_value_heads", 4},        {"vocab_size", 512}};
  config.update(more);
  return config;
}
json llama(const json& more = json::object()) { return member("LlamaForCausalLM", "llama", more); }
json mistral(const json& more = json::object()) { return member("MistralForCausalLM", "mistral", more); }
json qwen2(const json& more = json::object()) { return member("Qwen2ForCausalLM", "qwen2", more); }
json qwen3(const json& more = json::object()) { return member("Qwen3ForCausalLM", "qwen3", more); }

using Windows = std::vector<std::int64_t>;

TEST(Family, EachMemberHasItsOwnDefaults) {
  EXPECT_EQ(parse(mistral()).architecture, "MistralForCausalLM");
  EXPECT_EQ(parse(mistral()).max_positions, 131072);
  EXPECT_EQ(parse(qwen2()).max_positions, 32768);
  EXPECT_EQ(parse(qwen2()).head_dim, 8);
  EXPECT_EQ(parse(qwen3()).head_dim, 128);
  EXPECT_EQ(parse(llama()).bos_token, 1);
  EXPECT_EQ(parse(qwen3()).bos_token, -1);
  EXPECT_TRUE(parse(qwen3()).eos_tokens.empty());
  json absent = mistral(), null = mistral({{"num_key_value_heads", nullptr}});
  absent.erase("num_key_value_heads");
  absent["num_attention_heads"] = null["num_attention_heads"] = 16;
  EXPECT_EQ(parse(absent).kv_heads, 8);
  EXPECT_EQ(parse(null).kv_heads, 16);
}

// Sizes as the published files have them, and the number of weights that the publishers give.
TEST(Family, PublishedModelsHaveTheirNumberOfWeights) {
  const auto parameters = [](json config, const std::vector<std::int64_t>& sizes, bool tied = false) {
    const std::array keys{"hidden_size",         "intermediate_size",   "num_hidden_layers",
                          "num_attention_heads", "num_key_value_heads", "vocab_size"};
    for (std::size_t i = 0; i < keys.size(); ++i) config[keys[i]] = sizes[i];
    config["tie_word_embeddings"] = tied;
    return parse(config).parameters();
  };
  EXPECT_EQ(parameters(llama(), {4096, 14336, 32, 32, 8, 128256}), 8'030'261'248);       // Llama 3.1 8B
  EXPECT_EQ(parameters(llama(), {2048, 8192, 16, 32, 8, 128256}, true), 1'235'814'400);  // Llama 3.2 1B
  EXPECT_EQ(parameters(mistral(), {4096, 14336, 32, 32, 8, 32000}), 7'241'732'096);      // Mistral 7B
  EXPECT_EQ(parameters(qwen2(), {896, 4864, 24, 14, 2, 151936}, true), 494'032'768);     // Qwen2.5 0.5B
  EXPECT_EQ(parameters(qwen2(), {3584, 18944, 28, 28, 4, 152064}), 7'615'616'512);       // Qwen2.5 7B
  EXPECT_EQ(parameters(qwen3(), {4096, 12288, 36, 32, 8, 151936}), 8'190'735'360);       // Qwen3 8B
  EXPECT_EQ(parameters(qwen3(), {1024, 3072, 28, 16, 8, 151936}, true), 596'049'920);    // Qwen3 0.6B
}

TEST(Family, BiasesAndNorms) {
  const auto flags = [](const json& config) {
    const ModelConfig c = parse(config);
    return std::vector<bool>{c.qkv_bias, c.attention_out_bias, c.mlp_bias, c.qk_norm};
  };
  EXPECT_EQ(flags(llama()), (std::vector<bool>{false, false, false, false}));
  EXPECT_EQ(flags(llama({{"attention_bias", true}})), (std::vector<bool>{true, true, false, false}));
  EXPECT_EQ(flags(llama({{"mlp_bias", true}})), (std::vector<bool>{false, false, true, false}));
  EXPECT_EQ(flags(mistral()), (std::vector<bool>{false, false, false, false}));
  EXPECT_EQ(flags(qwen2()), (std::vector<bool>{true, false, false, false}));
  EXPECT_EQ(flags(qwen3()), (std::vector<bool>{false, false, false, true}));
  EXPECT_EQ(flags(qwen3({{"attention_bias", true}})), (std::vector<bool>{true, true, false, true}));
  EXPECT_THAT(config_error(mistral({{"attention_bias", true}})), HasSubstr("attention_bias"));
  EXPECT_THAT(config_error(qwen2({{"attention_bias", true}})), HasSubstr("attention_bias"));
  EXPECT_THAT(config_error(qwen3({{"mlp_bias", true}})), HasSubstr("mlp_bias"));
}

TEST(Family, WindowsOfMistral) {
  EXPECT_EQ(parse(mistral()).windows, Windows(4, 4096));
  EXPECT_EQ(parse(mistral({{"sliding_window", 24}})).windows, Windows(4, 24));
  EXPECT_EQ(parse(mistral({{"sliding_window", nullptr}})).windows, Windows());
  EXPECT_EQ(parse(mistral({{"sliding_window", 24}, {"layer_types", json(4, "sliding_attention")}})).window(3), 24);
  EXPECT_THAT(config_error(mistral({{"sliding_window", 0}})), HasSubstr("sliding_window"));
  EXPECT_THAT(config_error(mistral({{"use_sliding_window", false}})), HasSubstr("use_sliding_window"));
  EXPECT_THAT(config_error(mistral({{"layer_types", json(4, "full_attention")}})), HasSubstr("layer_types"));
  EXPECT_THAT(config_error(mistral({{"sliding_window", nullptr}, {"layer_types", json(4, "sliding_attention")}})),
              HasSubstr("layer_types"));
}

TEST(Family, WindowsOfQwen) {
  for (const auto& qwen : {qwen2, qwen3}) {
    EXPECT_EQ(parse(qwen({{"sliding_window", 24}})).windows, Windows());
    EXPECT_EQ(parse(qwen({{"use_sliding_window", true}, {"sliding_window", nullptr}})).windows, Windows());
    EXPECT_EQ(parse(qwen({{"use_sliding_window", true}, {"max_window_layers", 1}})).windows,
              (Windows{0, 4096, 4096, 4096}));
    EXPECT_EQ(parse(qwen({{"use_sliding_window", true}, {"sliding_window", 5}})).windows, Windows());  // from layer 28
    const json mixed = {"sliding_attention", "full_attention", "sliding_attention", "full_attention"};
    const json windowed = {
        {"use_sliding_window", true}, {"sliding_window", 5}, {"max_window_layers", 0}, {"layer_types", mixed}};
    EXPECT_EQ(parse(qwen(windowed)).windows, (Windows{5, 0, 5, 0}));
    EXPECT_THAT(config_error(qwen({{"layer_types", mixed}})), HasSubstr("layer_types"));
    EXPECT_THAT(config_error(qwen({{"layer_types", {"full_attention"}}})), HasSubstr("num_hidden_layers is 4"));
    EXPECT_THAT(config_error(qwen({{"layer_types", json(4, "chunked_attention")}})), HasSubstr("chunked_attention"));
  }
}

// One configuration, however it is spelled.
struct Spelling {
  const char* name;
  json fields;
  Kind kind;
  double theta, factor;
};

class RopeSpellings : public testing::TestWithParam<Spelling> {};

TEST_P(RopeSpellings, MeanTheSame) {
  const Spelling& spelling = GetParam();
  for (const auto& of : {llama, mistral, qwen2, qwen3}) {
    const ModelConfig config = parse(of(spelling.fields));
    EXPECT_EQ(config.rope_scaling.kind, spelling.kind);
    EXPECT_EQ(config.rope_theta, spelling.theta);
    EXPECT_EQ(config.rope_scaling.factor, spelling.factor);
    EXPECT_EQ(config.rope_scaling.attention_factor, 1);
  }
}

const json llama3 = {{"rope_type", "llama3"}, {"rope_theta", 5e5},     {"factor", 8},
                     {"low_freq_factor", 1},  {"high_freq_factor", 4}, {"original_max_position_embeddings", 64}};

INSTANTIATE_TEST_SUITE_P(
    All, RopeSpellings,
    testing::Values(
        Spelling{"nothing", json::object(), Kind::none, 1e4, 1},
        Spelling{"null", {{"rope_scaling", nullptr}, {"rope_parameters", nullptr}}, Kind::none, 1e4, 1},
        Spelling{"empty", {{"rope_scaling", json::object()}, {"rope_theta", 7}}, Kind::none, 7, 1},
        Spelling{"theta", {{"rope_theta", 1e6}}, Kind::none, 1e6, 1},
        Spelling{"theta_inside", {{"rope_parameters", {{"rope_theta", 1e6}}}}, Kind::none, 1e6, 1},
        Spelling{"default_type", {{"rope_parameters", {{"type", "default"}}}, {"rope_theta", 1e6}}, Kind::none, 1e6, 1},
        Spelling{"linear_old", {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}}, Kind::linear, 1e4, 2},
        Spelling{"linear",
                 {{"rope_parameters", {{"rope_type", "linear"}, {"factor", 2}, {"rope_theta", 1e6}}}},
                 Kind::linear,
                 1e6,
                 2},
        Spelling{"both_names",
                 {{"rope_scaling", {{"rope_type", "linear"}, {"type", "linear"}, {"factor", 4}}}, {"rope_theta", 1e6}},
                 Kind::linear,
                 1e6,
                 4},
        Spelling{"dynamic_old", {{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.5}}}}, Kind::dynamic, 1e4, 2.5},
        Spelling{
            "dynamic", {{"rope_parameters", {{"rope_type", "dynamic"}, {"factor", 2.5}}}}, Kind::dynamic, 1e4, 2.5},
        Spelling{"llama3", {{"rope_parameters", llama3}}, Kind::llama3, 5e5, 8},
        Spelling{"llama3_old", {{"rope_scaling", llama3}, {"rope_theta", 5e5}}, Kind::llama3, 5e5, 8},
        Spelling{"same_twice", {{"rope_scaling", llama3}, {"rope_parameters", llama3}}, Kind::llama3, 5e5, 8},
        Spelling{"yarn",
                 {{"rope_parameters", {{"rope_type", "yarn"}, {"factor", 2}, {"attention_factor", 1.0}}}},
                 Kind::yarn,
                 1e4,
                 2},
        Spelling{"key_of_another_type",
                 {{"rope_scaling", {{"type", "dynamic"}, {"factor", 2}, {"original_max_position_embeddings", 9}}}},
                 Kind::dynamic,
                 1e4,
                 2}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(RopeScaling, DynamicStretchesTheLongestInput) {
  const json dynamic = {{"max_position_embeddings", 100}, {"rope_scaling", {{"type", "dynamic"}, {"factor", 2.5}}}};
  const json linear = {{"max_position_embeddings", 100}, {"rope_scaling", {{"type", "linear"}, {"factor", 2.5}}}};
  EXPECT_EQ(parse(llama(dynamic)).longest_input(), 250);
  EXPECT_EQ(parse(llama(linear)).longest_input(), 100);
}

RopeScaling yarn(const json& fields, const json& more = json::object()) {
  json group = {{"rope_type", "yarn"}, {"factor", 4.0}};
  group.update(fields);
  json config = qwen2({{"max_position_embeddings", 1000}, {"rope_parameters", group}});
  config.update(more);
  return parse(config).rope_scaling;
}

TEST(RopeScaling, YarnsFieldsAndTheirDefaults) {
  const RopeScaling usual = yarn(json::object());
  EXPECT_EQ(usual.original_positions, 1000);
  EXPECT_EQ(usual.beta_fast, 32);
  EXPECT_EQ(usual.beta_slow, 1);
  EXPECT_TRUE(usual.truncate);
  EXPECT_DOUBLE_EQ(usual.attention_factor, 0.1 * std::log(4.0) + 1);

  EXPECT_EQ(yarn({{"original_max_position_embeddings", 250}}).original_positions, 250);
  EXPECT_EQ(
      yarn({{"original_max_position_embeddings", 250}}, {{"original_max_position_embeddings", 125}}).original_positions,
      125);  // the file's own goes before the group's
  EXPECT_EQ(yarn({{"factor", nullptr}, {"original_max_position_embeddings", 250}}).factor, 4);
  EXPECT_EQ(yarn({{"attention_factor", 0.7}}).attention_factor, 0.7);
  EXPECT_EQ(yarn({{"factor", 0.5}}).attention_factor, 1);
  EXPECT_EQ(yarn({{"mscale", 1.0}, {"mscale_all_dim", 1.0}}).attention_factor, 1);
  EXPECT_DOUBLE_EQ(yarn({{"mscale", 2.0}, {"mscale_all_dim", 0.5}}).attention_factor,
                   (0.2 * std::log(4.0) + 1) / (0.05 * std::log(4.0) + 1));
  EXPECT_EQ(yarn({{"mscale", 2.0}}).attention_factor, usual.attention_factor);  // one of them alone says nothing
  EXPECT_EQ(yarn({{"mscale", 2.0}, {"mscale_all_dim", 0}}).attention_factor, usual.attention_factor);
  EXPECT_EQ(yarn({{"beta_fast", 16}, {"beta_slow", 2}}).beta_fast, 16);
  EXPECT_EQ(yarn({{"beta_fast", 0}, {"beta_slow", nullptr}}).beta_fast, 32);
  EXPECT_FALSE(yarn({{"truncate", false}}).truncate);
  EXPECT_FALSE(yarn({{"truncate", nullptr}}).truncate);
}

TEST(RopeScaling, WhatIsNotComputedIsRefusedByName) {
  const auto group = [](const json& fields) { return config_error(llama({{"rope_parameters", fields}})); };
  EXPECT_THAT(group({{"rope_type", "longrope"}, {"factor", 2}}),
              HasSubstr("rope_type: not supported yet: \"longrope\""));
  EXPECT_THAT(group({{"type", "su"}}), HasSubstr("rope_parameters.type"));
  EXPECT_THAT(group({{"type", "mrope"}}), HasSubstr("mrope"));
  EXPECT_THAT(group({{"mrope_section", {1, 2}}}), HasSubstr("mrope_section"));
  EXPECT_THAT(group({{"partial_rotary_factor", 0.5}}), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(group({{"rope_type", "linear"}, {"short_factor", {1}}}), HasSubstr("short_factor"));
  EXPECT_THAT(group({{"rope_type", "linear"}}), HasSubstr("rope_parameters.factor"));
  EXPECT_THAT(group({{"rope_type", "linear"}, {"factor", 0}}), HasSubstr("rope_parameters.factor"));
  EXPECT_THAT(group({{"rope_type", "linear"}, {"factor", "2"}}), HasSubstr("rope_parameters.factor"));
  EXPECT_THAT(group({{"rope_type", "llama3"}, {"factor", 8}}), HasSubstr("low_freq_factor"));
  EXPECT_THAT(group({{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}),
              HasSubstr("high frequency factor 4 is not above"));
  EXPECT_THAT(group({{"rope_type", "yarn"}}), HasSubstr("rope_parameters.factor"));
  EXPECT_THAT(group({{"rope_type", "yarn"}, {"factor", 2}, {"rope_theta", 1}}), HasSubstr("theta of 1"));
  EXPECT_THAT(group({{"full_attention", {{"rope_type", "default"}}}}), HasSubstr("rope_parameters.full_attention"));
  EXPECT_THAT(config_error(llama({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}, {"rope_parameters", llama3}})),
              HasSubstr("rope_scaling: contradicts rope_parameters"));
  EXPECT_THAT(config_error(llama({{"head_dim", 2}, {"rope_scaling", {{"type", "dynamic"}, {"factor", 2}}}})),
              HasSubstr("dynamic"));
}

}  // namespace
}  // namespace batchscope
