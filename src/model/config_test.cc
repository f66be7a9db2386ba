// config.json: what is honoured, what is refused, and shapes by name or by sizes.
#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "base/input_warnings.h"
#include "base/shared_data.h"
#include "model/test_config.h"
#include "model/weights.h"

namespace batchscope {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

json plain() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"hidden_size", 64},
          {"intermediate_size", 172},
          {"num_hidden_layers", 5},
          {"num_attention_heads", 8},
          {"vocab_size", 512}};
}

json with(const std::string& key, const json& value) {
  json config = plain();
  config[key] = value;
  return config;
}

TEST(HuggingFaceConfig, AbsentFieldsAreLlamasDefaults) {
  const ModelConfig config = parse(plain());
  EXPECT_EQ(config.architecture, "LlamaForCausalLM");
  EXPECT_EQ(config.kv_heads, 8);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.max_positions, 2048);
  EXPECT_EQ(config.rms_norm_epsilon, 1e-6);
  EXPECT_EQ(config.rope_theta, 10000);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_EQ(config.dtype, DType::f32);
  EXPECT_EQ(config.bos_token, 1);
  EXPECT_EQ(config.eos_tokens, std::vector<std::int32_t>{2});
}

TEST(HuggingFaceConfig, FieldsAreHonoured) {
  json file = plain();
  file.update({{"num_key_value_heads", 2},
               {"head_dim", 32},
               {"rms_norm_eps", 1e-5},
               {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 5e5}}},
               {"tie_word_embeddings", true},
               {"dtype", "bfloat16"},
               {"bos_token_id", nullptr},
               {"eos_token_id", {3, 4}},
               {"max_position_embeddings", 4096}});
  const ModelConfig config = parse(file);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_dim, 32);
  EXPECT_EQ(config.rms_norm_epsilon, 1e-5);
  EXPECT_EQ(config.rope_theta, 5e5);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.dtype, DType::bf16);
  EXPECT_EQ(config.bos_token, -1);
  EXPECT_EQ(config.eos_tokens, (std::vector<std::int32_t>{3, 4}));
  EXPECT_EQ(config.max_positions, 4096);
  EXPECT_EQ(parse(with("torch_dtype", "float16")).dtype, DType::f16);
  EXPECT_EQ(parse(with("rope_theta", 1e6)).rope_theta, 1e6);
  EXPECT_EQ(parse(with("rope_scaling", {{"type", "default"}})).rope_theta, 10000);
}

TEST(HuggingFaceConfig, OtherArchitecturesAreRefusedByName) {
  EXPECT_THAT(config_error(with("architectures", {"Qwen3MoeForCausalLM"})),
              HasSubstr("not supported yet: \"Qwen3MoeForCausalLM\"; supported: LlamaForCausalLM, Mistral"));
  EXPECT_THAT(config_error(with("model_type", "qwen2")), AllOf(HasSubstr("model_type"), HasSubstr("qwen2")));
  EXPECT_THAT(config_error(with("model_type", "gemma3")), AllOf(HasSubstr("model_type"), HasSubstr("gemma3")));
  json nameless = plain();
  nameless.erase("architectures");
  EXPECT_EQ(parse(nameless).architecture, "LlamaForCausalLM");
  nameless.erase("model_type");
  EXPECT_THAT(config_error(nameless), HasSubstr("architectures: expected"));
}

TEST(HuggingFaceConfig, FieldsThatChangeNumbersAreRefusedByName) {
  const json refused = {{"hidden_act", "gelu"},
                        {"qkv_bias", true},
                        {"per_layer_config", {{"0", {{"head_dim", 8}}}}},
                        {"sliding_window", 24},
                        {"use_sliding_window", true},
                        {"layer_types", {"full_attention", "sliding_attention"}},
                        {"quantization_config", {{"bits", 4}}},
                        {"partial_rotary_factor", 0.5},
                        {"logits_scaling", 2.0},
                        {"embedding_multiplier", 12},
                        {"residual_multiplier", 0.2},
                        {"use_qk_norm", true},
                        {"num_experts", 8},
                        {"num_local_experts", 8},
                        {"final_logit_softcapping", 30.0},
                        {"rope_interleave", true},
                        {"pruned_heads", {{"0", {1}}}},
                        {"torch_dtype", "float8_e4m3fn"}};
  for (const auto& [key, value] : refused.items())
    EXPECT_THAT(config_error(with(key, value)), AllOf(HasSubstr("config.json: "), HasSubstr(key))) << key;
  json theta = with("rope_theta", 1e4);
  theta["rope_parameters"] = {{"rope_theta", 5e5}};
  EXPECT_THAT(config_error(theta), HasSubstr("contradicts"));
}

TEST(HuggingFaceConfig, Fp8CheckpointsAreRead) {
  const auto block = [](const json& quantization) {
    const ModelConfig config = parse(with("quantization_config", quantization));
    return std::pair(config.fp8_block.rows, config.fp8_block.columns);
  };
  const auto compressed = [](json weights, const char* format = "float-quantized") {
    weights.update({{"num_bits", 8}, {"type", "float"}});
    return json{{"quant_method", "compressed-tensors"},
                {"format", format},
                {"config_groups", {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}}}}}};
  };
  using Pair = std::pair<std::int64_t, std::int64_t>;
  EXPECT_EQ(block({{"quant_method", "fp8"}, {"weight_block_size", {128, 64}}, {"activation_scheme", "dynamic"}}),
            Pair(128, 64));
  EXPECT_EQ(block({{"quant_method", "fp8"}, {"activation_scheme", "static"}}), Pair(0, 0));
  EXPECT_EQ(block({{"quant_method", "fbgemm_fp8"}, {"activation_scale_ub", 1200.0}}), Pair(0, 0));
  EXPECT_EQ(block(compressed({{"strategy", "channel"}})), Pair(0, 0));
  EXPECT_EQ(block(compressed({{"strategy", "block"}, {"block_structure", {128, 128}}})), Pair(128, 128));

  const auto refused = [](const json& quantization) { return config_error(with("quantization_config", quantization)); };
  EXPECT_THAT(refused({{"quant_method", "gptq"}}), AllOf(HasSubstr("\"gptq\""), HasSubstr("supported: FP8")));
  EXPECT_THAT(refused({{"quant_method", "fp8"}, {"fmt", "e5m2"}}), HasSubstr("fmt"));
  for (const json& size : json{{128}, {0, 128}, {128, -1}, "128", {1.5, 2}, {1 << 21, 1}})
    EXPECT_THAT(refused({{"quant_method", "fp8"}, {"weight_block_size", size}}), HasSubstr("weight_block_size"));
  EXPECT_THAT(refused(compressed({{"strategy", "group"}})), HasSubstr("group_0.weights.strategy"));
  EXPECT_THAT(refused(compressed({{"strategy", "channel"}}, "pack-quantized")), HasSubstr("format"));
  EXPECT_THAT(refused(compressed({{"strategy", "block"}})), HasSubstr("block_structure"));
  json integers = compressed({{"strategy", "channel"}});
  integers["config_groups"]["group_0"]["weights"]["type"] = "int";
  EXPECT_THAT(refused(integers), HasSubstr("type"));
  EXPECT_THAT(refused({{"quant_method", "compressed-tensors"}, {"format", "float-quantized"}}),
              HasSubstr("config_groups"));
}

TEST(HuggingFaceConfig, TheSameFieldsMayBeNeutral) {
  const json neutral = {{"hidden_act", "silu"},
                        {"attention_bias", false},
                        {"mlp_bias", false},
                        {"rope_scaling", nullptr},
                        {"sliding_window", nullptr},
                        {"use_sliding_window", false},
                        {"quantization_config", nullptr},
                        {"partial_rotary_factor", 1.0},
                        {"pretraining_tp", 2},
                        {"num_experts", 0},
                        {"logits_scaling", 1},
                        {"pruned_heads", json::object()},
                        {"layer_types", json::array({"full_attention", "attention", "full_attention", "full_attention",
                                                     "full_attention"})},
                        {"max_window_layers", 3},
                        {"use_cache", true},
                        {"attention_dropout", 0.1},
                        {"a_key_nobody_knows", 1}};
  for (const auto& [key, value] : neutral.items()) EXPECT_NO_THROW(parse(with(key, value))) << key;
}

TEST(HuggingFaceConfig, SizesMustFit) {
  EXPECT_EQ(config_error(with("num_hidden_layers", "abc")),
            "config.json: num_hidden_layers: expected a whole number from 1 to 65536, found \"abc\"");
  EXPECT_THAT(config_error(with("num_hidden_layers", 0)), HasSubstr("num_hidden_layers"));
  EXPECT_THAT(config_error(with("hidden_size", 1e6)), HasSubstr("hidden_size"));
  EXPECT_THAT(config_error(with("hidden_size", 65)), HasSubstr("not a multiple"));
  EXPECT_THAT(config_error(with("num_key_value_heads", 3)), HasSubstr("not a multiple of 3"));
  EXPECT_THAT(config_error(with("head_dim", 7)), HasSubstr("even"));
  EXPECT_THAT(config_error(with("rms_norm_eps", 0)), HasSubstr("rms_norm_eps"));
  EXPECT_THAT(config_error(with("eos_token_id", "x")), HasSubstr("eos_token_id"));
  EXPECT_TRUE(parse_huggingface_config(with("eos_token_id", 512).dump(), "config.json").eos_tokens.empty());
  EXPECT_THAT(input_warnings().back(), HasSubstr("eos_token_id: token 512 is outside the vocabulary of 512"));
  EXPECT_THAT(config_error(json::array()), HasSubstr("expected an object"));
  json missing = plain();
  missing.erase("vocab_size");
  EXPECT_THAT(config_error(missing), HasSubstr("vocab_size"));
}

TEST(HuggingFaceConfig, TheLargestSizesDoNotOverflow) {
  ModelConfig config;
  config.hidden = ModelLimits::hidden;
  config.intermediate = ModelLimits::intermediate;
  config.layers = ModelLimits::layers;
  config.heads = config.kv_heads = 1 << 16;
  config.head_dim = ModelLimits::attention_width / config.heads;
  config.vocabulary = ModelLimits::vocabulary;
  config.max_positions = ModelLimits::positions;
  config.rope_theta = 10000;
  config.qkv_bias = config.attention_out_bias = config.mlp_bias = config.qk_norm = true;
  EXPECT_NO_THROW(check_sizes(config, "shape"));
  EXPECT_GT(config.parameters(), std::int64_t{1} << 55);
  EXPECT_LT(config.parameters(), std::int64_t{1} << 59);  // times four bytes and a few copies stays inside int64
}

TEST(HuggingFaceConfig, EndTokensOfTheGenerationConfigWin) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "generation_config_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << plain().dump();
  std::ofstream(folder / "generation_config.json") << R"({"eos_token_id": [2, 7]})";
  const ModelConfig config = read_huggingface_config(folder);
  EXPECT_EQ(config.eos_tokens, (std::vector<std::int32_t>{2, 7}));
  EXPECT_EQ(config.name, "generation_config_test");
  EXPECT_EQ(parse_model_shape(folder.string()).hidden, 64);
  EXPECT_EQ(parse_model_shape((folder / "config.json").string()).hidden, 64);
  std::filesystem::remove_all(folder);
}

TEST(HuggingFaceConfig, TheFamilysFilesAreReadOrRefused) {
  NEEDS_SHARED_DATA(models, "models");
  EXPECT_EQ(read_huggingface_config(models / "stories260K-hf").kv_heads, 4);
  EXPECT_EQ(read_huggingface_config(models / "variants/llama-13heads-sharded").heads, 13);
  EXPECT_EQ(read_huggingface_config(models / "variants/llama3-rope-gqa").rope_scaling.kind, RopeScaling::Kind::llama3);
  EXPECT_EQ(read_huggingface_config(models / "variants/mistral-window").window(2), 24);
  EXPECT_TRUE(read_huggingface_config(models / "variants/qwen2-bias-tied").qkv_bias);
  EXPECT_THROW(read_huggingface_config(models / "absent"), InputError);
}

TEST(ModelShape, NamesHaveThePublishedSizes) {
  EXPECT_EQ(parse_model_shape("llama-7b").parameters(), 6'738'415'616);
  EXPECT_EQ(parse_model_shape("llama-13b").parameters(), 13'015'864'320);
  EXPECT_EQ(parse_model_shape("llama-30b").parameters(), 32'528'943'616);
  EXPECT_EQ(parse_model_shape("llama-65b").parameters(), 65'285'660'672);
  const ModelConfig config = parse_model_shape("llama-30b");
  EXPECT_EQ(config.layers, 60);
  EXPECT_EQ(config.hidden, 6656);
  EXPECT_EQ(config.heads, 52);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.intermediate, 17920);
}

TEST(ModelShape, SizesMayBeWrittenOut) {
  const ModelConfig config =
      parse_model_shape("layers=2,hidden=64,heads=4,kv_heads=2,head_dim=32,intermediate=172,vocabulary=512,tied=true");
  EXPECT_EQ(config.layers, 2);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_dim, 32);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(parse_model_shape("layers=2,hidden=64,heads=4,intermediate=172,vocabulary=512").head_dim, 16);
  const ModelConfig more = parse_model_shape(
      "layers=3,hidden=64,heads=4,intermediate=172,vocabulary=512,qkv_bias=true,mlp_bias=true,qk_norm=true,window=8,"
      "max_window_layers=1");
  EXPECT_TRUE(more.qkv_bias && more.mlp_bias && more.qk_norm);
  EXPECT_FALSE(more.attention_out_bias);
  EXPECT_EQ(more.windows, (std::vector<std::int64_t>{0, 8, 8}));
}

TEST(ModelShape, MistakesAreNamed) {
  const auto error = [](const std::string& shape) -> std::string {
    try {
      parse_model_shape(shape);
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(error("llama-8b"), HasSubstr("llama-7b"));
  EXPECT_THAT(error("layers=2,hiden=64"), HasSubstr("did you mean hidden?"));
  EXPECT_THAT(error("layers=2,hidden=64,heads=4,vocabulary=512"), HasSubstr("intermediate is missing"));
  EXPECT_THAT(error("layers=2,layers=2"), HasSubstr("twice"));
  EXPECT_THAT(error("layers=0,hidden=64,heads=4,intermediate=1,vocabulary=2"), HasSubstr("layers"));
  EXPECT_THAT(error("layers=1,hidden=64,heads=5,intermediate=1,vocabulary=2"), HasSubstr("give head_dim"));
  EXPECT_THAT(error("layers"), HasSubstr("unknown shape"));
  EXPECT_THAT(error("layers=1,hidden=64,heads=4,intermediate=1,vocabulary=2,qk_norm=1"), HasSubstr("neither true"));
  EXPECT_THAT(error("layers=1,hidden=64,heads=4,intermediate=1,vocabulary=2,window=0"), HasSubstr("window"));
  EXPECT_THAT(error("layers=1,"), HasSubstr("missing"));
  EXPECT_THAT(error(""), HasSubstr("unknown shape"));
}

TEST(WeightShapes, AddUpToTheParameters) {
  for (const char* shape : {"llama-7b", "layers=3,hidden=40,heads=5,kv_heads=1,head_dim=6,intermediate=7,vocabulary=9",
                            "layers=1,hidden=4,heads=2,intermediate=3,vocabulary=5,tied=true",
                            "layers=2,hidden=12,heads=2,kv_heads=1,intermediate=3,vocabulary=5,qkv_bias=true",
                            "layers=2,hidden=12,heads=2,head_dim=4,intermediate=3,vocabulary=5,attention_out_bias=true",
                            "layers=2,hidden=12,heads=3,intermediate=5,vocabulary=5,mlp_bias=true,qk_norm=true"}) {
    const ModelConfig config = parse_model_shape(shape);
    std::int64_t sum = 0;
    for (const WeightShape& weight : weight_shapes(config)) sum += weight.rows * weight.columns;
    EXPECT_EQ(sum, config.parameters()) << shape;
  }
}

}  // namespace
}  // namespace batchscope
