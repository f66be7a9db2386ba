// safetensors: real files, and every way in which a file can lie.
#include "model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "base/input_warnings.h"
#include "base/shared_data.h"
#include "model/weights.h"

namespace batchscope {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string file(8, '\0');
  for (int i = 0; i < 8; ++i) file[static_cast<std::size_t>(i)] = static_cast<char>(length >> (8 * i));
  return file + rest;
}

std::string file_of(const std::string& header, std::size_t data_bytes) {
  return with_length(header.size(), header + std::string(data_bytes, '\0'));
}

std::map<std::string, SafetensorsEntry> entries_of(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file.data(), file.size())), "m.safetensors");
}

std::string layout_error(const std::string& file) {
  try {
    entries_of(file);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

json entry(const char* dtype, const json& shape, const json& offsets) {
  return {{"dtype", dtype}, {"shape", shape}, {"data_offsets", offsets}};
}

TEST(Safetensors, ReadsAHeader) {
  const json header = {{"__metadata__", {{"format", "pt"}}},
                       {"a", entry("F32", {2, 3}, {0, 24})},
                       {"none", entry("I64", {0, 7}, {24, 24})},
                       {"scalar", entry("BF16", json::array(), {24, 26})}};
  const std::string text = header.dump() + "   ";  // writers pad with spaces
  const auto tensors = entries_of(file_of(text, 26));
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors.at("a").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(tensors.at("a").offset, 8 + text.size());
  EXPECT_EQ(tensors.at("scalar").bytes, 2u);
}

TEST(Safetensors, LyingLengthsAreRefused) {
  EXPECT_THAT(layout_error(""), HasSubstr("0 bytes are too few for a safetensors file"));
  EXPECT_THAT(layout_error("1234567"), HasSubstr("7 bytes"));
  EXPECT_THAT(layout_error(with_length(3, "{}")), HasSubstr("cut short"));
  EXPECT_THAT(layout_error(with_length(~0ull, "{}")), HasSubstr("more than the format allows"));
  EXPECT_THAT(layout_error(with_length(~0ull - 7, "{}")), HasSubstr("more than the format allows"));
  EXPECT_THAT(layout_error(with_length(0, "{}")), HasSubstr("not JSON"));
  EXPECT_THAT(layout_error(file_of("[]", 0)), HasSubstr("not JSON"));
  EXPECT_THAT(layout_error(file_of("{\"a\":", 0)), HasSubstr("not valid JSON"));
  EXPECT_THAT(layout_error(file_of(std::string(100000, '{'), 0)), HasSubstr("nested"));
}

TEST(Safetensors, LyingEntriesAreRefused) {
  const auto one = [](const json& value, std::size_t data = 8) {
    return layout_error(file_of(json{{"a", value}}.dump(), data));
  };
  EXPECT_EQ(one(entry("F32", {2}, {0, 8})), "no error");
  EXPECT_THAT(one(entry("F32", {2}, {0, 16})), HasSubstr("cut short"));
  EXPECT_THAT(one(entry("F32", {3}, {0, 8})), HasSubstr("do not hold its shape"));
  EXPECT_THAT(one(entry("F32", {2}, {8, 0})), HasSubstr("data_offsets"));
  EXPECT_THAT(one(entry("F32", {2}, {0})), HasSubstr("data_offsets"));
  EXPECT_THAT(one(entry("F32", {2}, {-8, 0})), HasSubstr("whole numbers"));
  EXPECT_THAT(one(entry("F32", {2.0}, {0, 8})), HasSubstr("whole numbers"));
  EXPECT_THAT(one(entry("F32", "2", {0, 8})), HasSubstr("shape"));
  EXPECT_THAT(one(entry("F33", {2}, {0, 8})), AllOf(HasSubstr("F33"), HasSubstr("a.dtype")));
  EXPECT_THAT(one(json::array()), HasSubstr("expected an object"));
  // 2^62 * 4 wraps to 0, and 2^32 * 2^32 * 4 as well.
  EXPECT_THAT(one(entry("F32", {1ull << 62}, {0, 0}), 0), HasSubstr("do not hold"));
  EXPECT_THAT(one(entry("F32", {1ull << 32, 1ull << 32}, {0, 0}), 0), HasSubstr("do not hold"));
  EXPECT_THAT(one(entry("F32", {18446744073709551615ull}, {0, 8})), HasSubstr("whole numbers"));
  EXPECT_THAT(one(entry("F32", {2}, {0, 18446744073709551615ull})), HasSubstr("whole numbers"));
}

TEST(Safetensors, GapsAndOverlapsAreRefused) {
  const auto two = [](const json& a, const json& b, std::size_t data) {
    return layout_error(file_of(json{{"a", a}, {"b", b}}.dump(), data));
  };
  EXPECT_EQ(two(entry("U8", {4}, {4, 8}), entry("U8", {4}, {0, 4}), 8), "no error");
  EXPECT_THAT(two(entry("U8", {4}, {0, 4}), entry("U8", {4}, {2, 6}), 6), HasSubstr("inside the one before"));
  EXPECT_THAT(two(entry("U8", {4}, {0, 4}), entry("U8", {4}, {0, 4}), 4), HasSubstr("inside the one before"));
  EXPECT_THAT(two(entry("U8", {4}, {0, 4}), entry("U8", {4}, {5, 9}), 9), HasSubstr("gap"));
  EXPECT_THAT(two(entry("U8", {4}, {0, 4}), entry("U8", {4}, {4, 8}), 9), HasSubstr("1 bytes at its end"));
}

TEST(SafetensorsIndex, StaysInItsFolder) {
  EXPECT_EQ(parse_safetensors_index(R"({"weight_map": {"a": "x.safetensors"}})", "i").at("a"), "x.safetensors");
  for (const char* bad : {"../x", "/etc/passwd", "..", ".", "", "sub/x", "a\\\\b", "a\\u0000b"})
    EXPECT_THROW(parse_safetensors_index(std::string(R"({"weight_map": {"a": ")") + bad + "\"}}", "i"), InputError)
        << bad;
  for (const char* bad : {"{}", "[]", R"({"weight_map": []})", R"({"weight_map": {}})", R"({"weight_map": {"a": 1}})"})
    EXPECT_THROW(parse_safetensors_index(bad, "i"), InputError) << bad;
}

// A folder with a model of one layer, whose tensors count up from 0.
class Checkpoint : public testing::Test {
 protected:
  Checkpoint() : config(parse_model_shape("layers=1,hidden=4,heads=2,intermediate=3,vocabulary=5")) {
    folder = std::filesystem::path(testing::TempDir()) /
             (std::string("checkpoint_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    for (const WeightShape& shape : weight_shapes(config)) {
      std::vector<float> values(static_cast<std::size_t>(shape.rows * shape.columns));
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
      const bool vector = shape.name.ends_with("norm.weight");
      add(shape.name, vector ? json{shape.columns} : json{shape.rows, shape.columns}, values);
    }
  }
  ~Checkpoint() override { std::filesystem::remove_all(folder); }

  void add(const std::string& name, const json& shape, const std::vector<float>& values) {
    tensors[name] = {shape, values};
  }
  void write(const std::string& file, const std::function<bool(const std::string&)>& chosen) const {
    json header = json::object();
    std::string data;
    for (const auto& [name, tensor] : tensors) {
      if (!chosen(name)) continue;
      const std::size_t begin = data.size();
      data.append(reinterpret_cast<const char*>(tensor.second.data()), tensor.second.size() * 4);
      header[name] = entry("F32", tensor.first, {begin, data.size()});
    }
    const std::string text = header.dump();
    std::ofstream(folder / file, std::ios::binary) << with_length(text.size(), text + data);
  }
  std::string error() const {
    write("model.safetensors", [](const std::string&) { return true; });
    try {
      open_safetensors(folder, config);
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  }

  ModelConfig config;
  std::filesystem::path folder;
  std::map<std::string, std::pair<json, std::vector<float>>> tensors;
};

const WeightShape up{"model.layers.0.mlp.up_proj.weight", 3, 4};

TEST_F(Checkpoint, ReadsSlicesAsViews) {
  ASSERT_EQ(error(), "no error");
  const auto source = open_safetensors(folder, config);
  std::vector<std::byte> scratch;
  const HostMatrix view = source->read(up, {1, 2, 2, 2}, scratch);
  EXPECT_TRUE(scratch.empty());
  EXPECT_EQ(view.stride, 4);
  EXPECT_EQ(view.rows, 2);
  float value = 0;
  std::memcpy(&value, view.data + (1 * view.stride + 1) * 4, 4);
  EXPECT_EQ(value, 11);
  EXPECT_THROW(source->read(up, {1, 3, 0, 4}, scratch), std::logic_error);
  EXPECT_THROW(source->read({"nothing", 1, 1}, {0, 1, 0, 1}, scratch), std::logic_error);
}

// A projection in FP8 that says of each value which it is, with the scales given.
class Fp8Checkpoint : public Checkpoint {
 protected:
  std::string error_with(const std::string& scales_name, const json& shape, const std::vector<float>& scales,
                         std::uint8_t first_code = 0x38) {
    tensors.erase(up.name);
    json header = json::object();
    std::string data;
    for (std::uint8_t code = 0; code < 12; ++code) data.push_back(static_cast<char>(first_code + code));
    header[up.name] = entry("F8_E4M3", {3, 4}, {0, 12});
    const auto append = [&](const std::string& name, const json& of, const std::vector<float>& values) {
      const std::size_t begin = data.size();
      data.append(reinterpret_cast<const char*>(values.data()), values.size() * 4);
      header[name] = entry("F32", of, {begin, data.size()});
    };
    if (!scales_name.empty()) append(scales_name, shape, scales);
    for (const auto& [name, tensor] : tensors) append(name, tensor.first, tensor.second);
    const std::string text = header.dump();
    std::ofstream(folder / "model.safetensors", std::ios::binary) << with_length(text.size(), text + data);
    try {
      source = open_safetensors(folder, config);
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  }
  // The whole tensor, or a part of it.
  std::vector<float> values(const Slice& slice) const {
    std::vector<std::byte> scratch;
    const HostMatrix matrix = source->read(up, slice, scratch);
    EXPECT_EQ(matrix.dtype, DType::f32);
    const auto* floats = reinterpret_cast<const float*>(matrix.data);
    return {floats, floats + matrix.rows * matrix.columns};
  }
  static float code(int bits) {
    Float8 element;
    element.bits = static_cast<std::uint8_t>(bits);
    return static_cast<float>(element);
  }
  std::unique_ptr<WeightSource> source;
  const std::string scale = up.name + "_scale";
};

TEST_F(Fp8Checkpoint, AScaleIsOfTheTensorOfRowsOrOfBlocks) {
  for (const json& shape : json{json::array(), {1}, {1, 1}}) {
    ASSERT_EQ(error_with(scale, shape, {2}), "no error");
    EXPECT_EQ(values({0, 1, 0, 2}), (std::vector{2 * code(0x38), 2 * code(0x39)}));
  }
  for (const json& shape : json{{3}, {3, 1}}) {
    ASSERT_EQ(error_with(scale, shape, {2, 4, 8}), "no error");
    EXPECT_EQ(values({1, 2, 3, 1}), (std::vector{4 * code(0x3f), 8 * code(0x43)}));
  }
  config.fp8_block = {2, 3};
  ASSERT_EQ(error_with(scale + "_inv", {2, 2}, {2, 4, 8, 16}), "no error");
  EXPECT_EQ(values({1, 2, 2, 2}), (std::vector{2 * code(0x3e), 4 * code(0x3f), 8 * code(0x42), 16 * code(0x43)}));
  const auto kept = source->read_fp8(up, {1, 2, 2, 2}, 1);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->values.dtype, DType::fp8);
  EXPECT_EQ(std::to_integer<int>(kept->values.data[kept->values.stride]), 0x42);
  EXPECT_EQ(kept->scales, (std::vector<float>{2, 4, 8, 16}));
  EXPECT_FALSE(source->read_fp8({"model.layers.0.mlp.gate_proj.weight", 3, 4}, {0, 1, 0, 4}, 4));
}

TEST_F(Fp8Checkpoint, ScalesThatDoNotFitAreNamed) {
  EXPECT_THAT(error_with("", {}, {}), AllOf(HasSubstr(up.name), HasSubstr("without a tensor")));
  EXPECT_THAT(error_with(scale, {2}, {1, 1}), AllOf(HasSubstr(scale), HasSubstr("shape [2]")));
  EXPECT_THAT(error_with(scale, {2, 2}, {1, 1, 1, 1}), HasSubstr("config.json would have to state"));
  EXPECT_THAT(error_with(scale, {3}, {1, std::nanf(""), 1}), HasSubstr("not finite"));
  ASSERT_EQ(error_with(scale, {3}, {1, 1, 1}, 0x78), "no error");
  EXPECT_THROW(values({0, 3, 0, 4}), InputError);  // 0x7f is not a number
  EXPECT_THROW(source->read_fp8(up, {1, 2, 2, 2}, 2), InputError);
  EXPECT_NO_THROW(values({0, 1, 0, 4}));
}

TEST_F(Checkpoint, ValuesThatAreNotFiniteAreFoundInTheSliceOnly) {
  tensors[up.name].second[7] = std::nanf("");
  tensors["model.norm.weight"].second[3] = -std::numeric_limits<float>::infinity();
  ASSERT_EQ(error(), "no error");  // opening reads no values
  const auto source = open_safetensors(folder, config);
  std::vector<std::byte> scratch;
  EXPECT_NO_THROW(source->read(up, {0, 3, 0, 3}, scratch));
  EXPECT_NO_THROW(source->read(up, {2, 1, 0, 4}, scratch));
  try {
    source->read(up, {1, 2, 2, 2}, scratch);
    FAIL() << "NaN was read";
  } catch (const InputError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("model.safetensors"), HasSubstr(up.name), HasSubstr("row 1, column 3")));
  }
  EXPECT_THROW(source->read({"model.norm.weight", 1, 4}, {0, 1, 0, 4}, scratch), InputError);
}

TEST_F(Checkpoint, MissingAndMisshapenTensorsAreNamed) {
  add(up.name, {4, 3}, std::vector<float>(12));
  EXPECT_THAT(error(), AllOf(HasSubstr(up.name), HasSubstr("[4, 3]"), HasSubstr("[3, 4]")));
  tensors.erase(up.name);
  EXPECT_THAT(error(), AllOf(HasSubstr(up.name), HasSubstr("missing")));
}

TEST_F(Checkpoint, ExtraTensorsThatMatterAreRefused) {
  add("model.layers.0.self_attn.rotary_emb.inv_freq", {1}, {1});
  add("something.else", {1}, {1});
  EXPECT_EQ(error(), "no error");
  add("model.layers.0.self_attn.q_proj.bias", {4}, {0, 0, 0, 0});
  EXPECT_THAT(error(), HasSubstr("q_proj.bias"));
}

// What follows from theta, scales of an 8-bit KV cache, heads for other tasks: the model computes the same without.
TEST_F(Checkpoint, ExtraTensorsThatDoNotMatterAreLeftOut) {
  for (const char* name :
       {"model.layers.0.self_attn.rotary_emb.cos_cached", "model.rotary_emb.sin_cached",
        "model.layers.0.self_attn.k_scale", "model.layers.0.self_attn.attn.v_scale", "v_head.summary.weight",
        "v_head.summary.bias", "lm_head.bias", "model.layers.7.mlp.up_proj.bias"})
    add(name, {1}, {1});
  EXPECT_EQ(error(), "no error");
}

// A base model, saved without its head, whose table the head shares.
TEST_F(Checkpoint, NamesWithoutModelAreTheSame) {
  ASSERT_EQ(error(), "no error");
  std::vector<std::byte> scratch;
  const auto values = [&] {
    const auto source = open_safetensors(folder, config);
    const HostMatrix view = source->read(up, {0, 3, 0, 4}, scratch);
    return std::vector<std::byte>(view.data, view.data + 48);
  };
  const auto expected = values();
  config.tied_embeddings = true;
  tensors.erase("lm_head.weight");
  const auto renamed = [&](const std::string& prefix) {
    decltype(tensors) out;
    for (const auto& [name, tensor] : tensors) out[prefix + name.substr(name.find('.') + 1)] = tensor;
    return out;
  };
  const auto original = tensors;
  tensors = renamed("");
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(values(), expected);
  tensors = original;
  tensors = renamed("_orig_mod.model.");
  EXPECT_THAT(error(), AllOf(HasSubstr("\"_orig_mod.\""), HasSubstr("torch.compile")));
  tensors = original;
  tensors = renamed("module.model.");
  EXPECT_THAT(error(), HasSubstr("\"module.\" (DataParallel's)"));
}

TEST_F(Checkpoint, ATiedTableMayHaveTheProjectionsName) {
  config.tied_embeddings = true;
  tensors["lm_head.weight"] = tensors.at("model.embed_tokens.weight");
  tensors.erase("model.embed_tokens.weight");
  EXPECT_EQ(error(), "no error");
}

TEST_F(Checkpoint, ATiedModelNeedsNoProjectionAndTakesTheSameOneOnly) {
  config.tied_embeddings = true;
  EXPECT_EQ(error(), "no error");
  add("lm_head.weight", {2, 2}, {0, 0, 0, 0});
  EXPECT_THAT(error(), HasSubstr("lm_head.weight\" has shape"));
  tensors["lm_head.weight"] = tensors.at("model.embed_tokens.weight");
  EXPECT_EQ(error(), "no error");
  add("lm_head.weight", {config.vocabulary, config.hidden},
      std::vector<float>(static_cast<std::size_t>(config.vocabulary * config.hidden), 0.125f));
  EXPECT_THAT(error(), HasSubstr("set tie_word_embeddings to false"));
  tensors.erase("lm_head.weight");
  EXPECT_EQ(error(), "no error");
  config.tied_embeddings = false;
  EXPECT_THAT(error(), HasSubstr("lm_head.weight is missing"));
}

TEST_F(Checkpoint, ShardsAreFoundByTheirIndex) {
  json map;
  for (const auto& [name, tensor] : tensors) map[name] = name == up.name ? "b.safetensors" : "a.safetensors";
  write("a.safetensors", [](const std::string& name) { return name != up.name; });
  write("b.safetensors", [](const std::string& name) { return name == up.name; });
  const auto index = [&] {
    std::ofstream(folder / "model.safetensors.index.json") << json{{"weight_map", map}}.dump();
  };
  index();
  std::vector<std::byte> scratch;
  const HostMatrix view = open_safetensors(folder, config)->read(up, {0, 3, 0, 4}, scratch);
  EXPECT_EQ(view.rows, 3);
  // Where tensors are counts, not where the index says that they are.
  map["model.norm.weight"] = "b.safetensors";
  map["nowhere"] = "a.safetensors";
  map.erase("model.embed_tokens.weight");
  index();
  EXPECT_NO_THROW(open_safetensors(folder, config));
  EXPECT_THAT(input_warnings().back(), HasSubstr("2 of its tensors are not in the files that it names"));
  map["model.norm.weight"] = "c.safetensors";
  index();
  EXPECT_THROW(open_safetensors(folder, config), InputError);  // there is no such file
}

TEST_F(Checkpoint, OfATensorInTwoShardsTheLastCountsAsInTransformers) {
  json map;
  for (const auto& [name, tensor] : tensors) map[name] = "a.safetensors";
  map["model.norm.weight"] = "b.safetensors";
  std::ofstream(folder / "model.safetensors.index.json") << json{{"weight_map", map}}.dump();
  write("a.safetensors", [](const std::string&) { return true; });
  write("b.safetensors", [](const std::string& name) { return name == up.name; });
  std::vector<std::byte> scratch;
  const std::size_t before = input_warnings().size();
  const auto first = [&] {
    float value = 0;
    std::memcpy(&value, open_safetensors(folder, config)->read(up, {0, 3, 0, 4}, scratch).data, 4);
    return value;
  };
  first();
  EXPECT_EQ(input_warnings().size(), before + 1);  // of the index; the values are the same
  tensors[up.name].second[0] = 5;
  write("b.safetensors", [](const std::string& name) { return name == up.name; });
  EXPECT_EQ(first(), 5);
  EXPECT_THAT(input_warnings().back(),
              AllOf(HasSubstr("a.safetensors"), HasSubstr("b.safetensors"), HasSubstr(up.name)));
}

TEST(SafetensorsWeights, RealCheckpointsAreOpened) {
  NEEDS_SHARED_DATA(models, "models");
  for (const char* name : {"stories260K-hf", "variants/llama-13heads-sharded"}) {
    const ModelConfig config = read_huggingface_config(models / name);
    const auto source = open_safetensors(models / name, config);
    std::vector<std::byte> scratch;
    for (const WeightShape& shape : weight_shapes(config))
      EXPECT_NO_THROW(source->read(shape, {0, shape.rows, 0, shape.columns}, scratch)) << shape.name;
  }
  EXPECT_THROW(open_safetensors(models / "llama-tokenizer", parse_model_shape("llama-7b")), InputError);
}

}  // namespace
}  // namespace batchscope
