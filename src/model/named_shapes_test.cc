// Well-known shapes: the sizes that were published, whatever spelling of the name.
#include "model/named_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(NamedShapes, HaveThePublishedNumberOfParameters) {
  struct Published {
    const char* name;
    std::int64_t parameters;
  };
  for (const auto& [name, parameters] : {Published{"llama-7b", 6'738'415'616},
                                         {"llama-13b", 13'015'864'320},
                                         {"llama-30b", 32'528'943'616},
                                         {"llama-65b", 65'285'660'672},
                                         {"llama-2-7b", 6'738'415'616},
                                         {"llama-2-13b", 13'015'864'320},
                                         {"llama-2-70b", 68'976'648'192},
                                         {"llama-3-8b", 8'030'261'248},
                                         {"llama-3-70b", 70'553'706'496},
                                         {"llama-3.1-8b", 8'030'261'248},
                                         {"llama-3.1-70b", 70'553'706'496},
                                         {"llama-3.1-405b", 405'853'388'800},
                                         {"llama-3.2-1b", 1'235'814'400},
                                         {"llama-3.2-3b", 3'212'749'824},
                                         {"llama-3.3-70b", 70'553'706'496},
                                         {"mistral-7b", 7'241'732'096},
                                         {"mistral-7b-v0.3", 7'248'023'552},
                                         {"qwen2.5-0.5b", 494'032'768},
                                         {"qwen2.5-1.5b", 1'543'714'304},
                                         {"qwen2.5-3b", 3'085'938'688},
                                         {"qwen2.5-7b", 7'615'616'512},
                                         {"qwen2.5-14b", 14'770'033'664},
                                         {"qwen2.5-32b", 32'763'876'352},
                                         {"qwen2.5-72b", 72'706'203'648},
                                         {"qwen3-0.6b", 596'049'920},
                                         {"qwen3-1.7b", 1'720'574'976},
                                         {"qwen3-4b", 4'022'468'096},
                                         {"qwen3-8b", 8'190'735'360},
                                         {"qwen3-14b", 14'768'307'200},
                                         {"qwen3-32b", 32'762'123'264}}) {
    const auto config = named_shape(name);
    ASSERT_TRUE(config) << name;
    EXPECT_EQ(config->name, name);
    EXPECT_EQ(config->parameters(), parameters) << name;
    EXPECT_NO_THROW(check_sizes(*config, name));
  }
}

TEST(NamedShapes, HaveWhatTheirFamilyHas) {
  EXPECT_EQ(named_shape("llama-3.1-8b")->rope_scaling.kind, RopeScaling::Kind::llama3);
  EXPECT_EQ(named_shape("llama-3.1-8b")->rope_scaling.factor, 8);
  EXPECT_EQ(named_shape("llama-3-8b")->rope_scaling.kind, RopeScaling::Kind::none);
  EXPECT_EQ(named_shape("llama-3-8b")->max_positions, 8192);
  EXPECT_EQ(named_shape("llama-7b")->rms_norm_epsilon, 1e-6);
  EXPECT_EQ(named_shape("llama-65b")->rms_norm_epsilon, 1e-5);
  EXPECT_EQ(named_shape("mistral-7b")->window(31), 4096);
  EXPECT_EQ(named_shape("mistral-7b-v0.3")->window(31), 0);
  EXPECT_TRUE(named_shape("qwen2.5-7b")->qkv_bias);
  EXPECT_FALSE(named_shape("qwen2.5-7b")->qk_norm);
  EXPECT_TRUE(named_shape("qwen3-8b")->qk_norm);
  EXPECT_FALSE(named_shape("qwen3-8b")->qkv_bias);
  EXPECT_TRUE(named_shape("qwen3-4b")->tied_embeddings);
  EXPECT_FALSE(named_shape("qwen3-8b")->tied_embeddings);
}

TEST(NamedShapes, AreFoundAsTheHubSpellsThem) {
  const auto name_of = [](const char* spelling) {
    const auto config = named_shape(spelling);
    return config ? config->name : std::string("none");
  };
  EXPECT_EQ(name_of("meta-llama/Llama-3.1-8B"), "llama-3.1-8b");
  EXPECT_EQ(name_of("meta-llama/Meta-Llama-3-8B-Instruct"), "llama-3-8b");
  EXPECT_EQ(name_of("Llama-2-7b-hf"), "llama-2-7b");
  EXPECT_EQ(name_of("meta-llama/Llama-2-70b-chat-hf"), "llama-2-70b");
  EXPECT_EQ(name_of("llama2_13b"), "llama-2-13b");
  EXPECT_EQ(name_of("huggyllama/llama-7b"), "llama-7b");
  EXPECT_EQ(name_of("mistralai/Mistral-7B-Instruct-v0.3"), "mistral-7b-v0.3");
  EXPECT_EQ(name_of("Qwen/Qwen2.5-7B-Instruct"), "qwen2.5-7b");
  EXPECT_EQ(name_of("Qwen/Qwen3-8B-Base"), "qwen3-8b");
  for (const char* none : {"llama-8b", "qwen3-30b-a3b", "gemma-7b", "llama-2-7b-gguf", "", "-", "/"})
    EXPECT_EQ(name_of(none), "none") << none;
}

TEST(NamedShapes, AreInTheDocumentation) {
  const std::string text = read_file(BATCHSCOPE_SOURCE_DIR "/docs/study_files.md");
  for (const std::string& family : shape_families()) EXPECT_THAT(text, HasSubstr("\n" + family + "\n"));
}

TEST(NamedShapes, AWrongNameIsToldTheNearest) {
  EXPECT_EQ(nearest_shape("llama-3.1-7b"), "llama-3.1-8b");
  EXPECT_EQ(nearest_shape("Quen/Quen3-8B"), "qwen3-8b");
  try {
    parse_model_shape("qwen2.5-8b");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("did you mean qwen2.5-"), HasSubstr("llama-3.1-8b 70b 405b")));
  }
}

}  // namespace
}  // namespace batchscope
