// SentencePiece's library: the ids of transformers' first LlamaTokenizer, and texts that nobody expects.
#include "model/sentencepiece_tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/shared_data.h"
#include "model/test_tokenizers.h"

namespace batchscope {
namespace {

std::unique_ptr<Tokenizer> open(const std::filesystem::path& model, const TokenizerSettings& settings = {}) {
  return make_sentencepiece_tokenizer(read_file(model), "tokenizer.model", settings);
}

// What LlamaTokenizer of transformers 4.46 (legacy true, legacy false) gives for LLaMA's own tokenizer.model.
struct Golden {
  std::string_view text;
  Ids legacy, current;
};
const std::vector<Golden>& golden() {
  static const std::vector<Golden> all = {
      {"", {1}, {1}},
      {"Hello world", {1, 15043, 3186}, {1, 15043, 3186}},
      {"  two  spaces ", {1, 259, 1023, 29871, 8162, 29871}, {1, 259, 1023, 29871, 8162, 29871}},
      {" lead", {1, 29871, 3275}, {1, 29871, 3275}},
      {"trail ", {1, 26203, 29871}, {1, 26203, 29871}},
      {"a</s>b", {1, 263, 2, 289}, {1, 263, 2, 29890}},
      {"<s>a <s> b", {1, 1, 263, 29871, 1, 29871, 289}, {1, 1, 29874, 29871, 1, 289}},
      {"</s>", {1, 2}, {1, 2}},
      {"x<unk>y", {1, 921, 0, 343}, {1, 921, 0, 29891}},
      {"tab\011new\012line\015\012",
       {1, 4434, 12, 1482, 13, 1220, 30004, 13},
       {1, 4434, 12, 1482, 13, 1220, 30004, 13}},
      {std::string_view("\000\001", 2), {1, 29871, 3, 4}, {1, 29871, 3, 4}},
      {"\346\227\245\346\234\254\350\252\236 \360\237\231\202 \303\261",
       {1, 29871, 30325, 30346, 30968, 29871, 243, 162, 156, 133, 29871, 30046},
       {1, 29871, 30325, 30346, 30968, 29871, 243, 162, 156, 133, 29871, 30046}},
      {"\342\226\201under \342\226\201score", {1, 29871, 1090, 29871, 8158}, {1, 29871, 1090, 29871, 8158}},
      {"<s> </s>", {1, 1, 259, 2}, {1, 1, 29871, 2}},
      {" </s> hi", {1, 259, 2, 29871, 7251}, {1, 259, 2, 7251}},
      {"a<s", {1, 263, 29966, 29879}, {1, 263, 29966, 29879}},
      {"<s>", {1, 1}, {1, 1}},
  };
  return all;
}

TEST(SentencePieceTokenizer, GivesTheIdsOfLlamaTokenizer) {
  NEEDS_SHARED_DATA(model, "models/llama-tokenizer/tokenizer.model");
  const auto legacy = open(model);
  TokenizerSettings settings;
  settings.legacy = false;
  const auto current = open(model, settings);
  for (const Golden& each : golden()) {
    EXPECT_EQ(legacy->encode(each.text), each.legacy) << each.text;
    EXPECT_EQ(current->encode(each.text), each.current) << each.text;
  }
  EXPECT_EQ(legacy->vocabulary(), 32000);
}

TEST(SentencePieceTokenizer, DecodesWithoutSpecialTokens) {
  NEEDS_SHARED_DATA(model, "models/llama-tokenizer/tokenizer.model");
  const auto tokenizer = open(model);
  EXPECT_EQ(tokenizer->decode(Ids{1, 15043, 3186, 2}), "Hello world");
  EXPECT_EQ(tokenizer->decode(Ids{}), "");
  EXPECT_EQ(tokenizer->decode(Ids{1}), "");
  for (const char* text :
       {"Hello world", "tab\tnew\nline", "\346\227\245\346\234\254 \360\237\231\202", "a  b", " lead"})
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  EXPECT_EQ(tokenizer->decode(Ids{15043, 32000, -1, 3186}), "Hello\357\277\275\357\277\275world");
}

TEST(SentencePieceTokenizer, SettingsDecideOnBeginAndEnd) {
  NEEDS_SHARED_DATA(model, "models/stories260K-hf/tokenizer.model");
  TokenizerSettings settings;
  settings.add_bos = false;
  settings.add_eos = true;
  EXPECT_EQ(open(model, settings)->encode(""), Ids{2});
  settings.bos = "<not a piece>";
  EXPECT_NO_THROW(open(model, settings));
  settings.add_bos = true;
  EXPECT_THROW(open(model, settings), InputError);
}

TEST(SentencePieceTokenizer, AddedTokensHaveTheirOwnIds) {
  NEEDS_SHARED_DATA(model, "models/stories260K-hf/tokenizer.model");
  TokenizerSettings settings;
  settings.added = {{.content = "<pad>", .id = 512},
                    {.content = "<pad>>", .id = 513, .strip_left = true, .strip_right = true}};
  const auto tokenizer = open(model, settings);
  const auto plain = open(model);
  EXPECT_EQ(tokenizer->vocabulary(), 514);
  EXPECT_EQ(tokenizer->encode("<pad>"), (Ids{1, 512}));
  Ids expected = plain->encode("a");
  expected.push_back(513);  // the longest one wins, and takes the space on both sides
  const Ids rest = plain->encode("b");
  expected.insert(expected.end(), rest.begin() + 1, rest.end());
  EXPECT_EQ(tokenizer->encode("a <pad>>  b"), expected);
}

TEST(SentencePieceTokenizer, SurvivesHostileTexts) {
  NEEDS_SHARED_DATA(model, "models/stories260K-hf/tokenizer.model");
  const auto tokenizer = open(model);
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte += static_cast<char>(i);
  for (const std::string& text : {every_byte, std::string("\xff\xfe\xed\xa0\x80\xf4\x90\x80\x80"), std::string(3, '\0'),
                                  std::string(1 << 20, 'x'), std::string(1 << 18, ' ')}) {
    const Ids ids = tokenizer->encode(text);
    ASSERT_GT(ids.size(), 1u);
    for (const std::int32_t id : ids) ASSERT_TRUE(id >= 0 && id < 512);
    EXPECT_NO_THROW(tokenizer->decode(ids));
  }
  EXPECT_THROW(tokenizer->encode(std::string((64 << 20) + 1, 'x')), InputError);
}

TEST(SentencePieceTokenizer, SeveralThreadsMayEncode) {
  NEEDS_SHARED_DATA(model, "models/stories260K-hf/tokenizer.model");
  const auto tokenizer = open(model);
  const Ids expected = tokenizer->encode("Once upon a time");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) ASSERT_EQ(tokenizer->encode("Once upon a time"), expected);
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace batchscope
