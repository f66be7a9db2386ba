// Byte-pair encoding: the order of merges, what is not in the vocabulary, words of any length.
#include "model/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "model/test_tokenizers.h"

namespace batchscope {
namespace {

using testing::ElementsAre;
using testing::Pair;

BpeModel model_of(const std::vector<std::string>& tokens, std::vector<std::pair<std::string, std::string>> merges) {
  BpeModel model;
  for (const std::string& token : tokens)
    model.vocabulary.emplace(token, static_cast<std::int32_t>(model.vocabulary.size()));
  model.merges = std::move(merges);
  return model;
}

Ids encode(const BpeModel& model, std::string_view word) {
  Ids ids;
  Bpe(model, "test").encode(word, ids);
  return ids;
}

TEST(Bpe, MergesInTheOrderLearned) {
  const BpeModel model = model_of({"a", "b", "c", "ab", "bc", "abc"}, {{"b", "c"}, {"a", "b"}, {"a", "bc"}});
  EXPECT_EQ(encode(model, "abc"), Ids{5});
  EXPECT_EQ(encode(model, "abab"), (Ids{3, 3}));
  EXPECT_EQ(encode(model, "aabcb"), (Ids{0, 5, 1}));
  EXPECT_EQ(encode(model, ""), Ids{});
  BpeModel whole = model;
  whole.merges.pop_back();
  EXPECT_EQ(encode(whole, "abc"), (Ids{0, 4}));
  whole.ignore_merges = true;
  EXPECT_EQ(encode(whole, "abc"), Ids{5});
}

TEST(Bpe, UnknownCharacters) {
  BpeModel model = model_of({"<unk>", "a", "<0xC3>", "<0xA9>"}, {});
  EXPECT_EQ(encode(model, "\u00e9a\u65e5"), Ids{1});
  model.unknown = "<unk>";
  EXPECT_EQ(encode(model, "xya\u65e5"), (Ids{0, 0, 1, 0}));
  model.fuse_unknown = true;
  EXPECT_EQ(encode(model, "xya\u65e5"), (Ids{0, 1, 0}));
  model.byte_fallback = true;  // for those of which all bytes are there
  EXPECT_EQ(encode(model, "\u00e9\u00ea"), (Ids{2, 3, 0}));
  EXPECT_EQ(encode(model, "x\u00e9a"), (Ids{2, 3, 0, 1}));  // as the reference: the unknown one waits for a known one
  model.unknown = "<none>";
  EXPECT_THROW(encode(model, "x"), InputError);
}

TEST(Bpe, RefusesMergesOutsideTheVocabulary) {
  EXPECT_THROW(encode(model_of({"a", "b"}, {{"a", "b"}}), "a"), InputError);
  EXPECT_THROW(encode(model_of({"a", "ab"}, {{"a", "b"}}), "a"), InputError);
}

TEST(Bpe, PiecesImplyTheirMerges) {
  const std::vector<std::string> pieces{"a", "b", "ab", "aab", "aa"};
  EXPECT_THAT(merges_of_pieces(pieces, {}, "test"),
              ElementsAre(Pair("a", "b"), Pair("a", "ab"), Pair("aa", "b"), Pair("a", "a")));
  EXPECT_THAT(merges_of_pieces(pieces, {0, 0, -3, -1, -2}, "test"),
              ElementsAre(Pair("aa", "b"), Pair("a", "ab"), Pair("a", "a"), Pair("a", "b")));
  EXPECT_THROW(merges_of_pieces({std::string(5000, 'a')}, {}, "test"), InputError);
}

// The plain way: of all neighbours the pair learned first, the leftmost of several, until none is left.
Ids merge_plainly(const BpeModel& model, std::string_view word) {
  std::vector<std::string> symbols;
  for (const char c : word) symbols.emplace_back(1, c);
  for (const auto& merge : model.merges) {
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      if (symbols[i] != merge.first || symbols[i + 1] != merge.second) continue;
      symbols[i] += symbols[i + 1];
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
  }
  Ids ids;
  for (const std::string& symbol : symbols) ids.push_back(model.vocabulary.at(symbol));
  return ids;
}

// Short and long words take different ways through the code. Every merge makes a new token of two older ones, so one
// pass in the order learned finds all of them.
RC_GTEST_PROP(Bpe, AgreesWithMergingPlainly, ()) {
  std::vector<std::string> tokens{"a", "b", "c"};
  std::vector<std::pair<std::string, std::string>> merges;
  const int count = *rc::gen::inRange(0, 20);
  for (int i = 0; i < count; ++i) {
    const auto left = *rc::gen::elementOf(tokens), right = *rc::gen::elementOf(tokens);
    if (std::find(tokens.begin(), tokens.end(), left + right) != tokens.end() || (left + right).size() > 12) continue;
    tokens.push_back(left + right);
    merges.emplace_back(left, right);
  }
  const auto word = *rc::gen::container<std::string>(static_cast<std::size_t>(*rc::gen::inRange(0, 120)),
                                                     rc::gen::element('a', 'b', 'c'));
  const BpeModel model = model_of(tokens, merges);
  RC_ASSERT(encode(model, word) == merge_plainly(model, word));
}

// Where no merge reaches across the mark, words are encoded one by one: with the same result.
RC_GTEST_PROP(Bpe, CutsAtMarksWithoutAChange, ()) {
  BpeModel model = model_of({"\u2581", "a", "b", "\u2581a", "ab", "\u2581\u2581", "\u2581ab"},
                            {{"\u2581", "a"}, {"a", "b"}, {"\u2581", "\u2581"}, {"\u2581", "ab"}});
  const auto parts = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>("\u2581", "a", "b"));
  std::string word;
  for (const std::string& part : parts) word += part;
  const Ids cut = encode(model, word);
  model.vocabulary.emplace("ab\u2581", 7);  // now a merge reaches across, in words that hold an "x" only
  model.vocabulary.emplace("x", 8);
  model.vocabulary.emplace("x\u2581", 9);
  model.merges.emplace_back("x", "\u2581");
  RC_ASSERT(encode(model, word) == cut);
}

}  // namespace
}  // namespace batchscope
