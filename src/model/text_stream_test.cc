// Tests of streaming: over every kind of tokenizer the pieces are the whole.
#include "model/text_stream.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <sstream>

#include "base/file.h"
#include "base/json.h"
#include "base/shared_data.h"
#include "model/model.h"
#include "model/test_tokenizers.h"
#include "model/unicode_text.h"

namespace batchscope {
namespace {

void expect_streams(const Tokenizer& tokenizer, const Ids& tokens) {
  TextStream stream(tokenizer);
  std::string all;
  for (const std::int32_t token : tokens) {
    const std::string piece = stream.add({&token, 1});
    EXPECT_EQ(well_formed(piece), piece);
    all += piece;
  }
  all += stream.finish();
  EXPECT_EQ(all, tokenizer.decode(tokens));
  EXPECT_EQ(stream.finish(), "");
}

// Texts, and tokens that no text has: among them many bytes, as small ids are.
void expect_streams_everything(const Tokenizer& tokenizer) {
  std::istringstream file(read_file(testdata / "texts.jsonl"));
  for (std::string line; std::getline(file, line);)
    expect_streams(tokenizer, tokenizer.encode(nlohmann::json::parse(line).get<std::string>()));
  std::mt19937 random(9);
  for (int round = 0; round < 300; ++round) {
    Ids tokens(random() % 40);
    const std::int64_t most =
        round % 2 == 0 ? tokenizer.vocabulary() : std::min<std::int64_t>(280, tokenizer.vocabulary());
    for (auto& token : tokens) token = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(most));
    SCOPED_TRACE(testing::PrintToString(tokens));
    expect_streams(tokenizer, tokens);
  }
}

TEST(TextStream, PiecesAreTheWholeForEveryTokenizer) {
  for (const auto& entry : std::filesystem::directory_iterator(testdata)) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path());
    expect_streams_everything(*open_tokenizer(entry.path()));
  }
  expect_streams_everything(*open_tokenizer(embedded_file("models/tiny")));
}

TEST(TextStream, PiecesAreTheWholeForSentencePiece) {
  NEEDS_SHARED_DATA(folder, "models/llama-tokenizer");
  expect_streams_everything(*open_tokenizer(folder));
}

TEST(TextStream, GivesWordsAtOnceAndCharactersWhenTheyAreWhole) {
  const auto tokenizer = open_tokenizer(testdata / "gpt2");  // bytes
  TextStream stream(*tokenizer);
  EXPECT_EQ(stream.add(tokenizer->encode("Ana has")), " Ana has");
  const Ids smile = tokenizer->encode(" \U0001f642");
  ASSERT_GT(smile.size(), 2u);
  EXPECT_EQ(stream.add(std::span(smile).first(smile.size() - 1)), " ");
  EXPECT_EQ(stream.add(std::span(smile).last(1)), "\U0001f642");
  EXPECT_EQ(stream.add(std::span(smile).first(smile.size() - 1)), " ");
  EXPECT_EQ(stream.finish(), "\ufffd");  // it never became a character
}

}  // namespace
}  // namespace batchscope
