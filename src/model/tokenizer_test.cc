// Tokenizers of folders: the ids that transformers 5 gives for the same files, and what is said of other files.
#include "model/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/input_warnings.h"
#include "base/json.h"
#include "base/shared_data.h"
#include "model/test_tokenizers.h"
#include "model/tokenizer_config.h"

namespace batchscope {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::vector<json> read_lines(const std::filesystem::path& path) {
  std::vector<json> lines;
  std::istringstream file(read_file(path));
  for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
  return lines;
}

// Byte-level and SentencePiece-style BPE, trained on the tiny world (tools/tokenizer_testdata.py).
TEST(TokenizerFolder, GivesTheIdsOfTransformers) {
  const auto texts = read_lines(testdata / "texts.jsonl");
  int folders = 0;
  for (const auto& entry : std::filesystem::directory_iterator(testdata)) {
    if (!entry.is_directory()) continue;
    ++folders;
    const auto tokenizer = open_tokenizer(entry.path());
    const auto expected = read_lines(entry.path() / "expected.jsonl");
    ASSERT_EQ(expected.size(), texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto ids = tokenizer->encode(texts[i].get<std::string>());
      EXPECT_EQ(ids, expected[i][0].get<Ids>()) << entry.path() << " " << texts[i];
      EXPECT_EQ(tokenizer->decode(ids), expected[i][1].get<std::string>()) << entry.path() << " " << texts[i];
    }
  }
  EXPECT_EQ(folders, 9);
}

TEST(TokenizerFolder, SeveralThreadsMayEncode) {
  const auto texts = read_lines(testdata / "texts.jsonl");
  const auto tokenizer = open_tokenizer(testdata / "cases");
  const auto encode_all = [&] {
    std::vector<Ids> ids;
    for (const json& text : texts) ids.push_back(tokenizer->encode(text.get<std::string>()));
    return ids;
  };
  const auto expected = encode_all();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { EXPECT_EQ(encode_all(), expected); });
  for (std::thread& thread : threads) thread.join();
}

TEST(TokenizerFolder, IllFormedTextCountsAsReplacementCharacters) {
  const auto tokenizer = open_tokenizer(testdata / "llama3");
  // Python's errors="replace" makes one U+FFFD of each longest beginning of a character.
  EXPECT_EQ(tokenizer->encode("a\xff\xf0\x9f\x98z\xc0\xaf"), tokenizer->encode("a\ufffd\ufffdz\ufffd\ufffd"));
  EXPECT_EQ(tokenizer->encode("\xed\xa0\x80"), tokenizer->encode("\ufffd\ufffd\ufffd"));
  EXPECT_EQ(tokenizer->encode("x\xe2\x82"), tokenizer->encode("x\ufffd"));
}

// A word of many letters, and many spaces: quadratic work would take minutes.
TEST(TokenizerFolder, LongWordsTakeNoLonger) {
  for (const char* name : {"gpt2", "llama3", "llama", "metaspace"}) {
    const auto tokenizer = open_tokenizer(testdata / name);
    for (const std::string& text : {std::string(1 << 18, 'a'), std::string(1 << 18, ' ') + "x"})
      EXPECT_LE(tokenizer->encode(text).size(), text.size() + 3) << name;
  }
  EXPECT_THROW(open_tokenizer(testdata / "gpt2")->encode(std::string((64 << 20) + 1, 'x')), InputError);
}

TEST(TokenizerFolder, IdsOutsideTheVocabularyDecodeVisibly) {
  const auto tokenizer = open_tokenizer(testdata / "llama");
  const auto last = static_cast<std::int32_t>(tokenizer->vocabulary());
  EXPECT_EQ(tokenizer->decode(Ids{last, -1}), "\ufffd\ufffd");
  EXPECT_EQ(tokenizer->decode(Ids{}), "");
}

class Folder : public testing::Test {
 protected:
  Folder() : folder(std::filesystem::path(testing::TempDir()) / fmt::format("tokenizer_folder_test_{}", getpid())) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
  }
  ~Folder() override { std::filesystem::remove_all(folder); }

  void write(const char* name, const std::string& content) const { std::ofstream(folder / name) << content; }
  std::string error() const {
    try {
      open_tokenizer(folder);
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  }

  const std::filesystem::path folder;
};

TEST_F(Folder, SaysWhatItLacks) {
  EXPECT_THAT(error(), HasSubstr("neither tokenizer.json nor tokenizer.model"));
  for (const char* content : {"", "no model", "\x0a\x03\x0a\x01x"}) {
    write("tokenizer.model", content);
    EXPECT_THAT(error(), HasSubstr("not a SentencePiece model")) << content;
  }
  write("tokenizer.json", "{}");  // this one goes first
  EXPECT_THAT(error(), HasSubstr("tokenizer.json: model: expected an object"));
}

TEST_F(Folder, ClassesDecide) {
  std::filesystem::copy_file(testdata / "llama" / "tokenizer.json", folder / "tokenizer.json");
  const auto encode = [&](const char* config, const char* text) {
    write("tokenizer_config.json", config);
    return open_tokenizer(folder)->encode(text);
  };
  const auto generic = encode(R"({"tokenizer_class": "PreTrainedTokenizerFast"})", " a</s>b");
  const auto legacy = encode(R"({"tokenizer_class": "LlamaTokenizerFast", "legacy": true})", " a</s>b");
  const auto current = encode(R"({"tokenizer_class": "LlamaTokenizer"})", " a</s>b");
  EXPECT_NE(generic, legacy);  // LlamaTokenizer puts no second mark before a space
  EXPECT_NE(legacy, current);  // … and the newer one none behind a special token
  // The post-processor of tokenizer.json decides on begin and end, whatever add_bos_token says.
  EXPECT_EQ(
      encode(R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": false, "add_eos_token": true})", " a</s>b"),
      current);
  // Of other classes tokenizer.json says all; of those that nobody knows that is doubtful.
  EXPECT_EQ(encode(R"({"tokenizer_class": "CodeLlamaTokenizer"})", " a</s>b"), generic);
  const std::size_t before = input_warnings().size();
  EXPECT_EQ(encode(R"({"tokenizer_class": "GemmaTokenizer"})", " a</s>b"), generic);
  EXPECT_EQ(input_warnings().size(), before + 1);
  EXPECT_THAT(input_warnings().back(), HasSubstr("tokenizer_class \"GemmaTokenizer\" is not known"));
}

TEST_F(Folder, AddedTokensMayStandInEitherConfiguration) {
  std::filesystem::copy_file(testdata / "gpt2" / "tokenizer.json", folder / "tokenizer.json");
  const auto plain = open_tokenizer(folder);
  const auto next = static_cast<std::int32_t>(plain->vocabulary());
  write("added_tokens.json", R"({"<new>": 1000, "<newer>": 1001})");
  write("special_tokens_map.json", R"({"pad_token": "<newer>", "mask_token": "<nowhere>"})");
  const auto older = open_tokenizer(folder);
  EXPECT_EQ(older->encode("<newer><new>"), (Ids{next + 1, next}));
  EXPECT_EQ(older->decode(Ids{next + 1, next}), "<new>");  // a named token is special
  EXPECT_EQ(older->vocabulary(), next + 2);                // "<nowhere>" has no id
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"7": {"content": "<x>", "lstrip": true}}})");
  const auto newer = open_tokenizer(folder);  // the other two files are not read then
  EXPECT_EQ(newer->encode("   <x>"), Ids{next});
  EXPECT_EQ(newer->vocabulary(), next + 1);
}

// What AutoTokenizer of transformers 5.23 gives for LLaMA's own tokenizer.model, with "legacy" true and false.
TEST_F(Folder, LlamasOwnModelGivesTheIdsOfLlamaTokenizer) {
  NEEDS_SHARED_DATA(model, "models/llama-tokenizer/tokenizer.model");
  struct Golden {
    std::string_view text;
    Ids legacy, current;
  };
  const std::vector<Golden> golden = {
      {"", {1}, {1}},
      {"Hello world", {1, 15043, 3186}, {1, 15043, 3186}},
      {"  two  spaces ", {1, 259, 10184, 259, 22854, 29871}, {1, 259, 10184, 259, 22854, 29871}},
      {" lead", {1, 3275}, {1, 3275}},
      {"a</s>b", {1, 263, 2, 289}, {1, 263, 2, 29890}},
      {"<s>a <s> b", {1, 1, 263, 29871, 1, 289}, {1, 1, 29874, 29871, 1, 289}},
      {"x<unk>y", {1, 921, 0, 343}, {1, 921, 0, 29891}},
      {std::string_view("\0\1", 2), {1, 29871, 3, 4}, {1, 29871, 3, 4}},
      {"\u65e5\u672c\u8a9e \U0001f642 \xc3\xb1",
       {1, 29871, 30325, 30346, 30968, 29871, 243, 162, 156, 133, 29871, 30046},
       {1, 29871, 30325, 30346, 30968, 29871, 243, 162, 156, 133, 29871, 30046}},
      {"\u2581under \u2581score", {1, 1090, 259, 13628}, {1, 1090, 259, 13628}},
      {" </s> hi", {1, 29871, 2, 7251}, {1, 29871, 2, 7251}},
  };
  std::filesystem::create_symlink(model, folder / "tokenizer.model");
  write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "legacy": true})");
  const auto legacy = open_tokenizer(folder);
  write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "legacy": false})");
  const auto current = open_tokenizer(folder);
  for (const Golden& each : golden) {
    EXPECT_EQ(legacy->encode(each.text), each.legacy) << each.text;
    EXPECT_EQ(current->encode(each.text), each.current) << each.text;
  }
  EXPECT_EQ(legacy->vocabulary(), 32000);
  EXPECT_EQ(legacy->decode(Ids{1, 15043, 3186, 2}), "Hello world");
  write("tokenizer_config.json", R"({"add_bos_token": true, "bos_token": "<none>"})");
  EXPECT_THAT(error(), HasSubstr("has no piece \"<none>\" to begin texts with"));
  write("tokenizer_config.json", R"({"add_bos_token": true, "bos_token": null})");
  EXPECT_THAT(error(), HasSubstr("bos_token: expected a text"));
}

TEST(TokenizerConfig, IsHonouredOrRefused) {
  const TokenizerConfig config = parse_tokenizer_config(
      R"({"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": false, "legacy": false,
          "bos_token": {"content": "<b>"}, "unk_token": null, "image_token": "<i>", "model_max_length": 1e30,
          "additional_special_tokens": ["<e>"],
          "added_tokens_decoder": {"7": {"content": "<x>", "special": false, "lstrip": true}}})",
      "c");
  EXPECT_EQ(config.tokenizer_class, "LlamaTokenizer");
  EXPECT_EQ(config.add_bos, false);
  EXPECT_EQ(config.add_eos, std::nullopt);
  EXPECT_EQ(config.legacy, false);
  EXPECT_EQ(config.token("bos_token", "<s>"), "<b>");
  EXPECT_EQ(config.token("eos_token", "</s>"), "</s>");
  EXPECT_EQ(config.token("unk_token", "<unk>"), std::nullopt);
  EXPECT_EQ(config.token("image_token", {}), "<i>");
  ASSERT_EQ(config.extra.size(), 1u);
  ASSERT_EQ(config.added.size(), 1u);
  EXPECT_EQ(config.added[0].id, 7);
  EXPECT_FALSE(config.added[0].special);
  EXPECT_TRUE(config.added[0].strip_left);
  for (const char* bad :
       {R"({"bos_token": 1})", R"({"eos_token": ""})", R"({"added_tokens_decoder": {"x": {"content": "a"}}})",
        R"({"added_tokens_decoder": {"-1": {"content": "a"}}})", R"({"added_tokens_decoder": {"1": {"content": ""}}})",
        R"({"additional_special_tokens": 3})", R"({"split_special_tokens": true})", "[]", "{"})
    EXPECT_THROW(parse_tokenizer_config(bad, "c"), InputError) << bad;
}

TEST_F(Folder, LlamasOwnModelDecodesWhatItEncoded) {
  NEEDS_SHARED_DATA(model, "models/llama-tokenizer/tokenizer.model");
  const auto raw = shared_data("hellaswag/hellaswag_val_raw1000.jsonl", BATCHSCOPE_SOURCE_DIR);
  if (!std::filesystem::exists(raw)) GTEST_SKIP() << "needs " << raw;
  std::filesystem::create_symlink(model, folder / "tokenizer.model");
  const auto pipeline = open_tokenizer(folder);
  std::istringstream file(read_file(raw));
  for (std::string line; std::getline(file, line);) {
    const std::string text = json::parse(line)["ctx"].get<std::string>();
    EXPECT_EQ(pipeline->decode(pipeline->encode(text)), text);
  }
}

}  // namespace
}  // namespace batchscope
