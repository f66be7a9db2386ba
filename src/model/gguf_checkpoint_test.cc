// GGUF checkpoints: metadata to configuration, tensors to Hugging Face's order however they are cut, refusals by name.
#include "model/gguf_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <variant>

#include "base/error.h"
#include "model/gguf_blocks.h"
#include "model/test_gguf.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

using Value =
    std::variant<std::uint32_t, float, bool, std::string, std::vector<std::int32_t>, std::vector<std::string>>;
struct Tensor {
  std::vector<std::uint64_t> shape;  // fastest first
  std::uint32_t type = 0;            // F32
  std::string data;
};

// A file's contents, to be changed by tests before it is written. Two layers, 4 heads of 64 that share 2 keys.
struct Contents {
  std::map<std::string, Value> values;
  std::map<std::string, Tensor> tensors;

  explicit Contents(const std::string& architecture = "llama") {
    values["general.architecture"] = architecture;
    const auto set = [&](const char* key, Value value) { values[architecture + "." + key] = std::move(value); };
    set("context_length", 128u);
    set("embedding_length", 256u);
    set("block_count", 2u);
    set("feed_forward_length", 512u);
    set("attention.head_count", 4u);
    set("attention.head_count_kv", 2u);
    set("attention.layer_norm_rms_epsilon", 1e-5f);
    values["tokenizer.ggml.tokens"] = std::vector<std::string>{"a", "b", "c", "d", "e"};
    add("token_embd.weight", {256, 5});
    add("output_norm.weight", {256});
    add("output.weight", {256, 5});
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      add(layer + "attn_norm.weight", {256});
      add(layer + "ffn_norm.weight", {256});
      add(layer + "attn_q.weight", {256, 256});
      add(layer + "attn_k.weight", {256, 128});
      add(layer + "attn_v.weight", {256, 128});
      add(layer + "attn_output.weight", {256, 256});
      add(layer + "ffn_gate.weight", {256, 512});
      add(layer + "ffn_up.weight", {256, 512});
      add(layer + "ffn_down.weight", {512, 256});
      if (architecture == "qwen3")
        for (const char* norm : {"attn_q_norm.weight", "attn_k_norm.weight"}) add(layer + norm, {64});
      if (architecture == "qwen2") add_qkv_bias(layer);
    }
  }

  void add_qkv_bias(const std::string& layer) {
    add(layer + "attn_q.bias", {256});
    add(layer + "attn_k.bias", {128});
    add(layer + "attn_v.bias", {128});
  }

  // Of that type, with random bytes that are finite numbers.
  void add(const std::string& name, const std::vector<std::uint64_t>& shape, std::string_view type_name = "F32") {
    const GgufTensorType& type = type_named(type_name);
    std::uint64_t elements = 1;
    for (const std::uint64_t size : shape) elements *= size;
    std::mt19937 random(static_cast<unsigned>(std::hash<std::string>()(name)));
    Tensor& tensor = tensors[name] = {shape, type.number, {}};
    for (std::uint64_t i = 0; i < elements / static_cast<std::uint64_t>(type.block_elements); ++i) {
      for (std::int64_t byte = 0; byte < type.block_bytes; ++byte) {
        const auto bits = static_cast<char>(random());  // no exponent is full when its highest bit is clear
        tensor.data += static_cast<char>(bits & 0xbf);
      }
    }
  }

  GgufWriter writer() const {
    GgufWriter writer;
    for (const auto& [key, value] : values)
      std::visit(
          [&, &name = key](const auto& each) {
            if constexpr (requires { each.size(); } && !std::is_same_v<std::decay_t<decltype(each)>, std::string>)
              writer.values(name, each);
            else
              writer.value(name, each);
          },
          value);
    for (const auto& [name, tensor] : tensors) writer.tensor(name, tensor.shape, tensor.type, tensor.data);
    return writer;
  }
};

// A checkpoint and the bytes that it views.
struct Opened {
  explicit Opened(const Contents& contents) : file(contents.writer().file()) {}
  std::unique_ptr<const GgufCheckpoint> checkpoint() const {
    return std::make_unique<GgufCheckpoint>(std::as_bytes(std::span(file.data(), file.size())), "m.gguf");
  }
  ModelConfig config() const { return gguf_config(*checkpoint()); }
  std::unique_ptr<WeightSource> weights() const { return gguf_weights(checkpoint(), config()); }
  std::string file;
};

ModelConfig config_of(const Contents& contents) { return Opened(contents).config(); }

std::string error_of(const Contents& contents) {
  try {
    Opened(contents).weights();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(GgufConfig, IsWhatTheMetadataSays) {
  Contents contents;
  contents.values["llama.rope.freq_base"] = 500000.0f;
  contents.values["tokenizer.ggml.bos_token_id"] = 1u;
  contents.values["tokenizer.ggml.eos_token_id"] = 2u;
  const ModelConfig config = config_of(contents);
  EXPECT_EQ(config.architecture, "LlamaForCausalLM");
  EXPECT_EQ(config.hidden, 256);
  EXPECT_EQ(config.intermediate, 512);
  EXPECT_EQ(config.layers, 2);
  EXPECT_EQ(config.heads, 4);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.vocabulary, 5);
  EXPECT_EQ(config.max_positions, 128);
  EXPECT_FLOAT_EQ(static_cast<float>(config.rms_norm_epsilon), 1e-5f);
  EXPECT_EQ(config.rope_theta, 500000);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::none);
  EXPECT_FALSE(config.qkv_bias || config.attention_out_bias || config.mlp_bias || config.qk_norm);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_TRUE(config.windows.empty());
  EXPECT_EQ(config.dtype, DType::f32);
  EXPECT_EQ(config.bos_token, 1);
  EXPECT_THAT(config.eos_tokens, ElementsAre(2));
}

TEST(GgufConfig, AbsentKeysHaveTheFormatsDefaults) {
  Contents contents;
  contents.values.erase("llama.attention.head_count_kv");
  contents.tensors.erase("output.weight");
  for (const std::string layer : {"blk.0.", "blk.1."})
    for (const char* each : {"attn_k.weight", "attn_v.weight"}) contents.add(layer + each, {256, 256}, "BF16");
  const ModelConfig config = config_of(contents);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.rope_theta, 10000);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.bos_token, -1);
  EXPECT_THAT(config.eos_tokens, ElementsAre());
  EXPECT_EQ(error_of(contents), "no error");
}

TEST(GgufConfig, ArchitecturesHaveTheirOwnTensors) {
  const ModelConfig two = config_of(Contents("qwen2"));
  EXPECT_EQ(two.architecture, "Qwen2ForCausalLM");
  EXPECT_TRUE(two.qkv_bias);
  const ModelConfig three = config_of(Contents("qwen3"));
  EXPECT_EQ(three.architecture, "Qwen3ForCausalLM");
  EXPECT_TRUE(three.qk_norm);
  EXPECT_FALSE(three.qkv_bias);
  Contents contents;
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    contents.add_qkv_bias(layer);
    contents.add(layer + "attn_output.bias", {256});
    for (const char* each : {"ffn_gate.bias", "ffn_up.bias"}) contents.add(layer + each, {512});
    contents.add(layer + "ffn_down.bias", {256});
  }
  const ModelConfig biased = config_of(contents);
  EXPECT_TRUE(biased.qkv_bias && biased.attention_out_bias && biased.mlp_bias);
  EXPECT_EQ(error_of(contents), "no error");
  contents.values["llama.attention.sliding_window"] = 32u;
  EXPECT_EQ(config_of(contents).architecture, "MistralForCausalLM");
  EXPECT_THAT(config_of(contents).windows, ElementsAre(32, 32));
}

TEST(GgufConfig, SizesMayBeWrittenForEachLayer) {
  Contents contents;
  contents.values["llama.attention.head_count_kv"] = std::vector<std::int32_t>{2, 2};
  contents.values["llama.feed_forward_length"] = std::vector<std::int32_t>{512, 512};
  EXPECT_EQ(config_of(contents).kv_heads, 2);
  for (const std::vector<std::int32_t>& bad :
       {std::vector<std::int32_t>{2, 4}, std::vector<std::int32_t>{2}, std::vector<std::int32_t>{}}) {
    contents.values["llama.attention.head_count_kv"] = bad;
    EXPECT_THAT(error_of(contents), AllOf(HasSubstr("head_count_kv"), HasSubstr("the same for all 2 layers")));
  }
}

TEST(GgufConfig, TheVocabularyIsStatedOrCounted) {
  Contents contents;
  contents.values["llama.vocab_size"] = 6u;
  EXPECT_EQ(config_of(contents).vocabulary, 6);
  EXPECT_THAT(error_of(contents), AllOf(HasSubstr("token_embd.weight"), HasSubstr("[256, 5]"), HasSubstr("[256, 6]")));
  contents.values.erase("tokenizer.ggml.tokens");
  EXPECT_EQ(config_of(contents).vocabulary, 6);
  contents.values.erase("llama.vocab_size");
  EXPECT_THAT(error_of(contents), HasSubstr("llama.vocab_size: expected an integer"));
}

TEST(GgufConfig, HeadsMayBeWiderThanTheirShare) {
  Contents contents;
  contents.values["llama.attention.key_length"] = 128u;
  contents.values["llama.attention.value_length"] = 128u;
  contents.values["llama.rope.dimension_count"] = 128u;
  EXPECT_EQ(config_of(contents).head_dim, 128);
  contents.values["llama.attention.value_length"] = 64u;
  EXPECT_THAT(error_of(contents), AllOf(HasSubstr("attention.value_length: expected 128"), HasSubstr("found 64")));
  contents.values.erase("llama.attention.value_length");
  contents.values["llama.rope.dimension_count"] = 32u;
  EXPECT_THAT(error_of(contents), HasSubstr("rope.dimension_count: expected 128"));
  contents.values.erase("llama.attention.key_length");
  contents.values["llama.attention.head_count"] = 6u;
  EXPECT_THAT(error_of(contents), HasSubstr("embedding_length 256 is not a multiple of attention.head_count 6"));
}

TEST(GgufConfig, ReadsRopeScaling) {
  Contents contents;
  const auto scaling = [&](std::map<std::string, Value> values) {
    Contents changed = contents;
    for (auto& [key, value] : values) changed.values["llama.rope." + key] = value;
    return config_of(changed).rope_scaling;
  };
  using Kind = RopeScaling::Kind;
  EXPECT_EQ(scaling({{"scaling.type", "none"}, {"scaling.factor", 4.0f}}).factor, 1);
  EXPECT_EQ(scaling({{"scaling.factor", 0.0f}}).kind, Kind::none);
  for (const char* key : {"scaling.factor", "scale_linear"}) {  // today's name and the old one
    EXPECT_EQ(scaling({{key, 4.0f}}).kind, Kind::linear);
    EXPECT_EQ(scaling({{key, 4.0f}}).factor, 4);
  }
  const std::map<std::string, Value> yarn{{"scaling.type", "yarn"}, {"scaling.factor", 4.0f}};
  const auto with = [&](std::map<std::string, Value> more) {
    more.insert(yarn.begin(), yarn.end());
    return scaling(more);
  };
  EXPECT_EQ(with({}).kind, Kind::yarn);
  EXPECT_EQ(with({}).original_positions, 128);
  EXPECT_EQ(with({}).beta_fast, 32);
  EXPECT_EQ(with({}).beta_slow, 1);
  EXPECT_NEAR(with({}).attention_factor, 0.1 * std::log(4) + 1, 1e-12);
  const RopeScaling all = with({{"scaling.original_context_length", 64u},
                                {"scaling.yarn_beta_fast", 16.0f},
                                {"scaling.yarn_beta_slow", 2.0f},
                                {"scaling.yarn_ext_factor", 1.0f},
                                {"scaling.yarn_attn_factor", 1.5f}});
  EXPECT_EQ(all.original_positions, 64);
  EXPECT_EQ(all.beta_fast, 16);
  EXPECT_EQ(all.beta_slow, 2);
  EXPECT_EQ(all.attention_factor, 1.5);
  EXPECT_NEAR(with({{"scaling.yarn_log_multiplier", 1.0f}}).attention_factor, 1, 1e-12);
  EXPECT_NEAR(with({{"scaling.attn_factor", 2.0f}, {"scaling.yarn_attn_factor", 1.5f}}).attention_factor, 3, 1e-12);
}

TEST(GgufConfig, ReadsTheDivisorsOfLlama3) {
  Contents contents;
  std::vector<float> divisors(32, 1);
  divisors[31] = 8;
  const auto set = [&] {
    contents.tensors["rope_freqs.weight"] = {
        {divisors.size()}, 0, std::string(reinterpret_cast<const char*>(divisors.data()), 4 * divisors.size())};
  };
  set();
  EXPECT_EQ(config_of(contents).rope_scaling.divisors, divisors);
  EXPECT_EQ(error_of(contents), "no error");
  for (const float bad : {0.0f, -1.0f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    divisors[3] = bad;
    set();
    EXPECT_THAT(error_of(contents), HasSubstr("rope_freqs.weight")) << bad;
  }
  divisors.resize(31, 1);
  set();
  EXPECT_THAT(error_of(contents), HasSubstr("expected F32 of shape [32]"));
  Contents qwen("qwen2");
  qwen.add("rope_freqs.weight", {32});
  EXPECT_THAT(error_of(qwen), HasSubstr("\"rope_freqs.weight\" is not part of a Qwen2ForCausalLM"));
}

TEST(GgufConfig, WhatIsNotComputedIsRefusedByName) {
  const auto with = [](const std::string& key, const Value& value) {
    Contents contents;
    contents.values[key] = value;
    return error_of(contents);
  };
  EXPECT_THAT(with("general.architecture", "gemma"), AllOf(HasSubstr("\"gemma\""), HasSubstr("qwen3")));
  EXPECT_THAT(with("general.type", "adapter"), HasSubstr("general.type: not supported: \"adapter\""));
  EXPECT_THAT(with("general.quantization_version", 1u), HasSubstr("general.quantization_version: expected 2"));
  EXPECT_THAT(with("llama.expert_count", 8u), AllOf(HasSubstr("llama.expert_count: expected 0"), HasSubstr("found 8")));
  EXPECT_EQ(with("llama.expert_count", 0u), "no error");
  EXPECT_THAT(with("llama.attention.causal", false), HasSubstr("attention.causal"));
  EXPECT_EQ(with("llama.attention.causal", true), "no error");
  EXPECT_THAT(with("llama.logit_scale", 0.5f), HasSubstr("llama.logit_scale: expected 1"));
  EXPECT_EQ(with("llama.logit_scale", 1.0f), "no error");
  EXPECT_THAT(with("llama.final_logit_softcapping", 30.0f), HasSubstr("final_logit_softcapping"));
  EXPECT_THAT(with("llama.use_parallel_residual", true), HasSubstr("use_parallel_residual"));
  EXPECT_THAT(with("llama.hidden_activation", "gelu"), HasSubstr("hidden_activation: not supported yet: \"gelu\""));
  EXPECT_THAT(with("llama.attention.sliding_window_pattern", 2u),
              HasSubstr("sliding_window_pattern: expected nothing"));
  EXPECT_THAT(with("llama.rope.scaling.type", "longrope"), HasSubstr("\"longrope\""));
  EXPECT_THAT(with("llama.rope.scaling.attn_factor", 2.0f), HasSubstr("attn_factor: expected 1"));
  EXPECT_THAT(with("llama.attention.layer_norm_rms_epsilon", 0.0f), HasSubstr("layer_norm_rms_epsilon: expected"));
  EXPECT_THAT(with("llama.embedding_length", "256"), HasSubstr("embedding_length: expected an integer"));
  EXPECT_THAT(with("llama.block_count", 60000u), AllOf(HasSubstr("60000 layers"), HasSubstr("blk.59999")));
  EXPECT_EQ(with("tokenizer.ggml.eos_token_id", 5u), "no error");  // with a warning
  EXPECT_THAT(with("tokenizer.ggml.eos_token_id", "5"), HasSubstr("eos_token_id: expected an integer"));
  EXPECT_EQ(with("llama.something_new", 1u), "no error");  // with a warning
  Contents qwen("qwen2");
  qwen.values["qwen2.attention.sliding_window"] = 32u;
  EXPECT_THAT(error_of(qwen), HasSubstr("qwen2.attention.sliding_window: expected 0"));
}

TEST(GgufWeights, WrongTensorsAreNamed) {
  Contents contents;
  contents.tensors.erase("blk.1.ffn_up.weight");
  EXPECT_THAT(error_of(contents), AllOf(HasSubstr("m.gguf"), HasSubstr("blk.1.ffn_up.weight is missing")));
  contents.add("blk.1.ffn_up.weight", {512, 256});
  EXPECT_THAT(error_of(contents), AllOf(HasSubstr("[512, 256]"), HasSubstr("[256, 512]")));
  contents.add("blk.1.ffn_up.weight", {256, 512}, "IQ4_NL");
  EXPECT_THAT(error_of(contents), AllOf(HasSubstr("not supported: IQ4_NL"), HasSubstr("Q4_K, Q5_K, Q6_K")));
  contents.add("blk.1.ffn_up.weight", {256, 512}, "Q4_K");
  EXPECT_EQ(error_of(contents), "no error");
  contents.add("blk.1.ffn_up.bias", {512});  // not in layer 0: no bias of this model
  EXPECT_THAT(error_of(contents), HasSubstr("\"blk.1.ffn_up.bias\" is not part of a LlamaForCausalLM"));
  contents.add("blk.0.ffn_up.bias", {512});
  EXPECT_THAT(error_of(contents), HasSubstr("blk.0.ffn_gate.bias is missing"));
}

std::vector<float> values_of(const WeightSource& source, const WeightShape& tensor, const Slice& slice) {
  std::vector<std::byte> scratch;
  const HostMatrix view = source.read(tensor, slice, scratch);
  EXPECT_EQ(view.rows, slice.row_count);
  EXPECT_EQ(view.columns, slice.column_count);
  std::vector<float> values;
  for (std::int64_t row = 0; row < view.rows; ++row)
    for (std::int64_t column = 0; column < view.columns; ++column) {
      const std::byte* at = view.data + (row * view.stride + column) * size_of(view.dtype);
      const auto format = view.dtype == DType::f32   ? GgufFormat::f32
                          : view.dtype == DType::f16 ? GgufFormat::f16
                                                     : GgufFormat::bf16;
      dequantise(format, at, 1, &values.emplace_back());
    }
  return values;
}

// All values of a tensor as they stand in the file.
std::vector<float> stored(const Tensor& tensor) {
  std::size_t elements = 1;
  for (const std::uint64_t size : tensor.shape) elements *= size;
  for (const GgufTensorType& type : gguf_tensor_types()) {
    if (type.number != tensor.type) continue;
    std::vector<float> values(elements);
    dequantise(format_of(type).value(), reinterpret_cast<const std::byte*>(tensor.data.data()),
               static_cast<std::int64_t>(elements) / type.block_elements, values.data());
    return values;
  }
  throw std::logic_error("no such type");
}

// What a conversion to the architecture llama makes of a matrix in Hugging Face's form, undone element by element:
// [heads, 2, dim / 2, columns] is stored as [heads, dim / 2, 2, columns].
std::vector<float> huggingface_order(const std::vector<float>& file, std::size_t heads, std::size_t dim) {
  const std::size_t columns = file.size() / (heads * dim);
  std::vector<float> values(file.size());
  for (std::size_t head = 0; head < heads; ++head)
    for (std::size_t side = 0; side < 2; ++side)
      for (std::size_t i = 0; i < dim / 2; ++i)
        for (std::size_t column = 0; column < columns; ++column)
          values[((head * 2 + side) * (dim / 2) + i) * columns + column] =
              file[((head * (dim / 2) + i) * 2 + side) * columns + column];
  return values;
}

TEST(GgufWeights, QueriesAndKeysOfLlamaComeInHuggingFacesOrder) {
  for (const char* architecture : {"llama", "qwen2"}) {
    Contents contents(architecture);
    if (contents.values.contains("llama.block_count"))
      for (const std::string layer : {"blk.0.", "blk.1."}) contents.add_qkv_bias(layer);
    contents.add("blk.0.attn_k.weight", {256, 128}, "Q6_K");
    const Opened opened(contents);
    const auto weights = opened.weights();
    const bool reordered = std::string_view(architecture) == "llama";
    struct Case {
      const char *huggingface, *gguf;
      std::int64_t rows, columns;
      std::size_t heads;
    };
    for (const Case& each :
         {Case{"q_proj.weight", "attn_q.weight", 256, 256, 4}, Case{"k_proj.weight", "attn_k.weight", 128, 256, 2},
          Case{"q_proj.bias", "attn_q.bias", 1, 256, 4}, Case{"k_proj.bias", "attn_k.bias", 1, 128, 2}}) {
      const auto file = stored(contents.tensors.at(std::string("blk.0.") + each.gguf));
      const auto expected = reordered ? huggingface_order(file, each.heads, 64) : file;
      const WeightShape shape{std::string("model.layers.0.self_attn.") + each.huggingface, each.rows, each.columns};
      EXPECT_EQ(values_of(*weights, shape, {0, each.rows, 0, each.columns}), expected)
          << architecture << " " << each.huggingface;
    }
    const auto v = stored(contents.tensors.at("blk.0.attn_v.weight"));
    EXPECT_EQ(values_of(*weights, {"model.layers.0.self_attn.v_proj.weight", 128, 256}, {0, 128, 0, 256}), v);
  }
}

// Slices that begin and end anywhere, inside blocks, too, are cut from the whole.
TEST(GgufWeights, AnySliceIsCutFromTheSameTensor) {
  const std::vector<std::string> types{"F32",  "F16",  "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0",
                                       "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"};
  for (const std::string& type : types) {
    Contents contents;
    contents.add("blk.0.attn_q.weight", {256, 256}, type);
    contents.add("blk.0.ffn_down.weight", {512, 256}, type);
    const Opened opened(contents);
    const auto weights = opened.weights();
    const std::array shapes{WeightShape{"model.layers.0.self_attn.q_proj.weight", 256, 256},
                            WeightShape{"model.layers.0.mlp.down_proj.weight", 256, 512}};
    const std::array wholes{huggingface_order(stored(contents.tensors.at("blk.0.attn_q.weight")), 4, 64),
                            stored(contents.tensors.at("blk.0.ffn_down.weight"))};
    rc::check("slice of " + type, [&] {
      const std::size_t which = *rc::gen::inRange<std::size_t>(0, 2);
      const WeightShape& shape = shapes[which];
      Slice slice{.row_begin = *rc::gen::inRange<std::int64_t>(0, shape.rows),
                  .column_begin = *rc::gen::inRange<std::int64_t>(0, shape.columns)};
      slice.row_count = *rc::gen::inRange<std::int64_t>(0, std::min<std::int64_t>(shape.rows - slice.row_begin, 5) + 1);
      slice.column_count = *rc::gen::inRange<std::int64_t>(0, shape.columns - slice.column_begin + 1);
      const auto part = values_of(*weights, shape, slice);
      std::size_t next = 0;
      for (std::int64_t row = slice.row_begin; row < slice.row_begin + slice.row_count; ++row)
        for (std::int64_t column = slice.column_begin; column < slice.column_begin + slice.column_count; ++column)
          RC_ASSERT(part[next++] == wholes[which][static_cast<std::size_t>(row * shape.columns + column)]);
    });
  }
}

TEST(GgufWeights, PlainTensorsAreViews) {
  const Opened opened((Contents()));
  const auto weights = opened.weights();
  std::vector<std::byte> scratch;
  const HostMatrix view = weights->read({"model.layers.1.mlp.up_proj.weight", 512, 256}, {3, 2, 5, 7}, scratch);
  EXPECT_TRUE(scratch.empty());
  EXPECT_EQ(view.stride, 256);
  EXPECT_THROW(weights->read({"model.layers.1.mlp.up_proj.weight", 512, 256}, {511, 2, 0, 1}, scratch),
               std::logic_error);
  EXPECT_THROW(weights->read({"nothing", 1, 1}, {0, 1, 0, 1}, scratch), std::logic_error);
}

TEST(GgufWeights, ValuesThatAreNotFiniteAreFoundInTheSliceOnly) {
  Contents contents;
  contents.add("blk.0.ffn_gate.weight", {256, 512}, "Q8_0");
  std::string& data = contents.tensors["blk.0.ffn_gate.weight"].data;
  data[34 * (8 * 2 + 1) + 1] = 0x7c;  // the scale of row 2's second block: infinite, or not a number
  const Opened opened(contents);
  const auto weights = opened.weights();
  std::vector<std::byte> scratch;
  const WeightShape gate{"model.layers.0.mlp.gate_proj.weight", 512, 256};
  EXPECT_NO_THROW(weights->read(gate, {0, 3, 0, 32}, scratch));
  EXPECT_NO_THROW(weights->read(gate, {3, 1, 0, 256}, scratch));
  try {
    weights->read(gate, {2, 1, 30, 10}, scratch);
    FAIL() << "it was read";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("m.gguf"), HasSubstr(gate.name), HasSubstr("row 2, column 32")));
  }
}

class GgufParts : public testing::Test {
 protected:
  GgufParts() : folder(std::filesystem::path(testing::TempDir()) / fmt::format("gguf_parts_test_{}", getpid())) {
    std::filesystem::create_directories(folder);
    const Contents whole;
    first.values = whole.values;
    second.values.clear();
    first.tensors.clear();
    second.tensors.clear();
    for (const auto& [name, tensor] : whole.tensors)
      (name.starts_with("blk.1.") ? second : first).tensors[name] = tensor;
    for (Contents* part : {&first, &second}) {
      part->values["split.count"] = 2u;
      part->values["split.no"] = part == &first ? 0u : 1u;
      part->values["split.tensors.count"] = static_cast<std::uint32_t>(whole.tensors.size());
    }
  }
  ~GgufParts() override { std::filesystem::remove_all(folder); }

  std::string error(const std::string& named = "m-00001-of-00002.gguf") const {
    first.writer().write(folder / "m-00001-of-00002.gguf");
    second.writer().write(folder / "m-00002-of-00002.gguf");
    try {
      const auto path = folder / named;
      const auto weights = open_gguf(path, read_gguf_config(path));
      values_of(*weights, {"model.layers.1.mlp.up_proj.weight", 512, 256}, {0, 512, 0, 256});
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  }

  Contents first, second;
  const std::filesystem::path folder;
};

TEST_F(GgufParts, AreReadAsOne) {
  EXPECT_EQ(error(), "no error");
  EXPECT_EQ(read_gguf_config(folder / "m-00001-of-00002.gguf").name, "m-00001-of-00002");
}

TEST_F(GgufParts, ThatDoNotBelongTogetherAreRefused) {
  EXPECT_THAT(error("m-00002-of-00002.gguf"), HasSubstr("must end with -00001-of-00002.gguf"));
  second.values["split.no"] = 0u;
  EXPECT_THAT(error(), HasSubstr("it is not part 2 of 2"));
  second.values["split.no"] = 1u;
  first.values["split.tensors.count"] = 3u;
  EXPECT_THAT(error(), HasSubstr("tensors, not 3"));
  second.add("output_norm.weight", {256});
  EXPECT_THAT(error(), HasSubstr("\"output_norm.weight\" is in another part"));
  first.values["split.count"] = 3u;
  EXPECT_THAT(error(), HasSubstr("one of 3 parts"));
  std::filesystem::copy(folder / "m-00001-of-00002.gguf", folder / "m-00001-of-00003.gguf");
  EXPECT_THAT(error("m-00001-of-00003.gguf"), HasSubstr("m-00002-of-00003.gguf"));
}

}  // namespace
}  // namespace batchscope
