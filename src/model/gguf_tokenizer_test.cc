// Tokenizers inside GGUF files: the same ids as the same vocabulary in tokenizer.json, and what is refused.
#include "model/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/input_warnings.h"
#include "base/json.h"
#include "model/test_gguf.h"
#include "model/test_tokenizers.h"

namespace batchscope {
namespace {

using nlohmann::json;
using testing::HasSubstr;

struct Source {
  std::vector<std::string> tokens, merges;
};

Source read_source(const char* name) {
  const json file = json::parse(read_file(testdata / name / "tokenizer.json"));
  Source source;
  source.tokens.resize(file["model"]["vocab"].size());
  for (const auto& [token, id] : file["model"]["vocab"].items()) source.tokens.at(id.get<std::size_t>()) = token;
  for (const json& merge : file["model"]["merges"])
    source.merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  return source;
}

std::unique_ptr<Tokenizer> open(const GgufWriter& writer) {
  const std::string file = writer.file();
  return make_gguf_tokenizer(Gguf(std::as_bytes(std::span(file.data(), file.size())), "m.gguf"));
}

std::string vocabulary_error(const GgufWriter& writer) {
  try {
    open(writer);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

std::vector<std::string> texts_without_added_tokens() {
  std::vector<std::string> texts;
  std::istringstream file(read_file(testdata / "texts.jsonl"));
  for (std::string line; std::getline(file, line);) {
    const auto text = json::parse(line).get<std::string>();
    if (text.find('<') == std::string::npos && text.find("word") == std::string::npos) texts.push_back(text);
  }
  return texts;
}

void expect_same(const Tokenizer& tokenizer, const char* folder) {
  const auto other = open_tokenizer(testdata / folder);
  for (const std::string& text : texts_without_added_tokens()) {
    EXPECT_EQ(tokenizer.encode(text), other->encode(text)) << text;
    EXPECT_EQ(tokenizer.decode(other->encode(text)), other->decode(other->encode(text))) << text;
  }
}

GgufWriter byte_level(const Source& source, const char* words) {
  GgufWriter writer;
  writer.value("tokenizer.ggml.model", std::string("gpt2")).value("tokenizer.ggml.pre", std::string(words));
  writer.values("tokenizer.ggml.tokens", source.tokens).values("tokenizer.ggml.merges", source.merges);
  return writer;
}

TEST(GgufTokenizer, ByteLevelAgreesWithTokenizerJson) {
  GgufWriter llama3 = byte_level(read_source("llama3"), "llama-bpe");
  llama3.value("tokenizer.ggml.bos_token_id", std::uint32_t{1}).value("tokenizer.ggml.eos_token_id", std::uint32_t{2});
  llama3.value("tokenizer.ggml.add_eos_token", true);  // BOS without being asked for
  expect_same(*open(llama3), "llama3");
}

TEST(GgufTokenizer, ScoresStandForMerges) {
  const Source source = read_source("llama_class");
  std::vector<float> scores;
  std::vector<std::int32_t> types;
  for (std::size_t i = 0; i < source.tokens.size(); ++i) {
    scores.push_back(-static_cast<float>(i));
    types.push_back(i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1);
  }
  GgufWriter writer;
  writer.value("tokenizer.ggml.model", std::string("llama")).values("tokenizer.ggml.tokens", source.tokens);
  writer.values("tokenizer.ggml.scores", scores).values("tokenizer.ggml.token_type", types);
  const auto tokenizer = open(writer);
  EXPECT_EQ(tokenizer->encode(""), Ids{1});
  EXPECT_EQ(tokenizer->encode("<s></s><unk>"), (Ids{1, 1, 2, 0}));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("Ana has a red kite. \u65e5")), "Ana has a red kite. \u65e5");
  GgufWriter merged = writer;
  merged.values("tokenizer.ggml.merges", source.merges);
  expect_same(*open(merged), "llama_class");
  writer.value("tokenizer.ggml.add_space_prefix", false).value("tokenizer.ggml.add_bos_token", false);
  EXPECT_EQ(open(writer)->decode(open(writer)->encode(" a")), " a");
  EXPECT_LT(open(writer)->encode("a").size(), tokenizer->encode("a").size());
}

TEST(GgufTokenizer, MarksDecideWhatIsCutOut) {
  Source source = read_source("gpt2");
  source.tokens.insert(source.tokens.end(), {"<think>", "<|im_end|>", "not byte-level"});
  std::vector<std::int32_t> types(source.tokens.size(), 1);
  const auto last = static_cast<std::int32_t>(types.size()) - 1;
  types[types.size() - 3] = 4;
  types[types.size() - 2] = types[types.size() - 1] = 3;
  const auto tokenizer = open(byte_level(source, "gpt-2").values("tokenizer.ggml.token_type", types));
  EXPECT_EQ(tokenizer->encode("<think><|im_end|>"), (Ids{last - 2, last - 1}));
  EXPECT_EQ(tokenizer->decode(Ids{last - 2, last - 1}), "<think>");
  EXPECT_GT(tokenizer->encode("not byte-level").size(), 1u);
}

// Written before files said how words are cut: known by the vocabulary, or not without a warning.
TEST(GgufTokenizer, AFileThatDoesNotSayHowWordsAreCut) {
  const Source source = read_source("llama3");
  for (const char* words : {"", "default"}) {
    GgufWriter writer = byte_level(source, words);
    writer.value("tokenizer.ggml.bos_token_id", std::uint32_t{1})
        .value("tokenizer.ggml.eos_token_id", std::uint32_t{2});
    Source marked = source;
    marked.tokens.insert(marked.tokens.end(), {"<|begin_of_text|>", "<|end_of_text|>"});
    GgufWriter known = byte_level(marked, words), named = byte_level(marked, "llama-bpe");
    for (GgufWriter* each : {&known, &named}) each->value("tokenizer.ggml.bos_token_id", std::uint32_t{1});
    const std::size_t before = input_warnings().size();
    const auto tokenizer = open(known), same = open(named);
    EXPECT_EQ(input_warnings().size(), before);
    for (const std::string& text : texts_without_added_tokens()) EXPECT_EQ(tokenizer->encode(text), same->encode(text));
    open(writer);
    EXPECT_THAT(input_warnings().back(), HasSubstr("words are cut by GPT-2's rule"));
  }
}

// -1 in whatever width is none; another one outside of the vocabulary is left out, unless texts are to begin with it.
TEST(GgufTokenizer, SpecialTokensOutsideOfTheVocabulary) {
  const Source source = read_source("gpt2");
  const auto plain = open(byte_level(source, "gpt-2"));
  GgufWriter writer = byte_level(source, "gpt-2");
  writer.value("tokenizer.ggml.padding_token_id", std::uint32_t{0xffffffff});
  writer.value("tokenizer.ggml.unknown_token_id", std::int32_t{-1});
  writer.value("tokenizer.ggml.eos_token_id", std::uint32_t{32000});
  EXPECT_EQ(open(writer)->encode("a b"), plain->encode("a b"));
  EXPECT_THAT(input_warnings().back(), HasSubstr("eos_token_id: token 32000 is outside the vocabulary"));
  writer.value("tokenizer.ggml.add_eos_token", true);
  EXPECT_THAT(vocabulary_error(writer), HasSubstr("as tokenizer.ggml.add_eos_token is true"));
}

TEST(GgufTokenizer, NamesWhatIsNotSupported) {
  GgufWriter writer;
  EXPECT_THAT(vocabulary_error(writer), HasSubstr("tokenizer.ggml.model"));
  writer.value("tokenizer.ggml.model", std::string("bert"));
  EXPECT_THAT(vocabulary_error(writer), HasSubstr("not supported yet: \"bert\"; supported: llama, gpt2"));
  const Source source = read_source("gpt2");
  EXPECT_THAT(vocabulary_error(byte_level(source, "superbpe")),
              HasSubstr("tokenizer.ggml.pre: not supported yet: \"superbpe\"; supported: default, gpt-2"));
  EXPECT_THAT(vocabulary_error(byte_level(source, "llama-bpe")), HasSubstr("tokenizer.ggml.bos_token_id"));
  EXPECT_THAT(vocabulary_error(byte_level({source.tokens, {"a"}}, "gpt-2")),
              HasSubstr("merge 0, \"a\", is not two tokens"));
  EXPECT_THAT(vocabulary_error(byte_level({source.tokens, {"a \u65e5"}}, "gpt-2")),
              HasSubstr("which the vocabulary lacks"));
  EXPECT_THAT(vocabulary_error(byte_level({{"a", "\xff"}, {}}, "gpt-2")),
              HasSubstr("token 1, \"\\xff\", is not UTF-8"));
  EXPECT_THAT(vocabulary_error(byte_level(source, "gpt-2").values<std::int32_t>("tokenizer.ggml.token_type", {1})),
              HasSubstr("1 types for"));
}

}  // namespace
}  // namespace batchscope
