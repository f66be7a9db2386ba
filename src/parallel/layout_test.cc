// Tests of layouts: reading and printing, and that shares cover a model whatever it is divided by.
#include "parallel/layout.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/test_refusal.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

ModelConfig model(std::int64_t heads, std::int64_t kv_heads) {
  ModelConfig config;
  config.name = "small";
  config.layers = 5;
  config.heads = heads;
  config.kv_heads = kv_heads;
  config.intermediate = 172;
  config.vocabulary = 512;
  return config;
}

TEST(Layout, IsReadAndPrinted) {
  for (const char* text : {"tp1", "mp4", "pp4", "tp8", "dp2", "dp2.tp2", "dp2.mp3.tp4", "pp2.tp3"})
    EXPECT_EQ(Layout::parse(text).to_string(), text);
  EXPECT_EQ(Layout::parse("tp2.dp3").to_string(), "dp3.tp2");  // in one order, so that equal layouts look equal
  EXPECT_EQ(Layout::parse("dp1.mp1").to_string(), "tp1");
  EXPECT_TRUE(Layout::parse("pp4").micro_batches());
  EXPECT_FALSE(Layout::parse("mp4").micro_batches());
  EXPECT_EQ(Layout::parse("dp2.pp3.tp4").ranks(), 24);
}

TEST(Layout, WhatIsNoLayoutIsRefused) {
  for (const char* text : {"", "4", "tp", "tp0", "tp-1", "tp2x", "xp2", "TP2", "tp2.", ".tp2", "dp2..tp2", "tp4097",
                           "tp99999999999999999999", "tp2 ", "tp1.5"})
    EXPECT_THAT(refusal([&] { Layout::parse(text); }), HasSubstr("--parallel")) << text;
  for (const char* text : {"tp2.tp2", "mp2.pp2", "dp2.tp2.dp2"})
    EXPECT_THAT(refusal([&] { Layout::parse(text); }), HasSubstr("twice")) << text;
  EXPECT_THAT(refusal([] { Layout::parse("dp4096.tp4096"); }), HasSubstr("16777216 ranks"));
}

RC_GTEST_PROP(Layout, RankAndPlaceAreInverse, ()) {
  const auto count = rc::gen::inRange(1, 9);
  const Layout layout =
      Layout::parse(fmt::format("dp{}.{}{}.tp{}", *count, *rc::gen::element("mp", "pp"), *count, *count));
  RC_ASSERT(Layout::parse(layout.to_string()).ranks() == layout.ranks());
  for (std::int64_t rank = 0; rank < layout.ranks(); ++rank) {
    const Layout::Place place = layout.place(rank);
    RC_ASSERT(place.replica < layout.replicas() && place.stage < layout.stages() && place.shard < layout.shards());
    RC_ASSERT(layout.rank(place) == rank);
  }
}

RC_GTEST_PROP(EvenShare, CoversTheTotalInOrderWithTheLargerSharesFirst, ()) {
  const auto total = *rc::gen::inRange<std::int64_t>(0, 10'000);
  const auto parts = *rc::gen::inRange<std::int64_t>(1, 100);
  std::int64_t next = 0, previous = total;
  for (std::int64_t index = 0; index < parts; ++index) {
    const Range share = even_share(total, parts, index);
    RC_ASSERT(share.begin == next);
    RC_ASSERT(share.size() == total / parts || share.size() == total / parts + 1);
    RC_ASSERT(share.size() <= previous || index == 0);
    next = share.end;
    previous = share.size();
  }
  RC_ASSERT(next == total);
}

TEST(LayerShare, CoversEveryHeadAndTheKvHeadsThatItsHeadsRead) {
  for (const std::int64_t kv_heads : {1, 2, 3, 4, 8})
    for (const std::int64_t group : {1, 2, 3, 5}) {
      const ModelConfig config = model(kv_heads * group, kv_heads);
      for (std::int64_t shards = 1; shards <= config.heads; ++shards) {
        std::int64_t heads = 0, columns = 0, kv_end = 0;
        for (std::int64_t shard = 0; shard < shards; ++shard) {
          const LayerShare share = layer_share(config, shards, shard);
          ASSERT_EQ(share.heads.begin, heads);
          ASSERT_EQ(share.intermediate.begin, columns);
          ASSERT_GT(share.heads.size(), 0);
          ASSERT_EQ(share.kv_heads.begin, share.heads.begin / group);
          ASSERT_EQ(share.kv_heads.end, (share.heads.end - 1) / group + 1);
          ASSERT_LE(share.kv_heads.begin, kv_end) << "no KV head is left out";
          heads = share.heads.end;
          columns = share.intermediate.end;
          kv_end = share.kv_heads.end;
        }
        ASSERT_EQ(heads, config.heads);
        ASSERT_EQ(columns, config.intermediate);
        ASSERT_EQ(kv_end, config.kv_heads);
      }
    }
}

TEST(LayerShare, LayersAndVocabularyAreCutEvenly) {
  const ModelConfig config = model(4, 4);
  EXPECT_EQ(layer_range(config, 2, 0), (Range{0, 3}));
  EXPECT_EQ(layer_range(config, 2, 1), (Range{3, 5}));
  EXPECT_EQ(vocabulary_range(config, 3, 2), (Range{342, 512}));
}

TEST(Layout, WhatAModelCannotBeCutIntoIsRefusedWithWhatItCan) {
  const ModelConfig config = model(6, 2);
  EXPECT_NO_THROW(Layout::parse("dp64.mp5.tp6").check(config));
  EXPECT_THAT(refusal([&] { Layout::parse("pp6").check(config); }),
              AllOf(HasSubstr("--parallel pp6"), HasSubstr("5 layers"), HasSubstr("5 stages or fewer")));
  EXPECT_THAT(refusal([&] { Layout::parse("tp7").check(config); }),
              AllOf(HasSubstr("--parallel tp7"), HasSubstr("6 attention heads"), HasSubstr("tp6 or fewer")));
  ModelConfig narrow = config;
  narrow.intermediate = 3;
  EXPECT_THAT(refusal([&] { Layout::parse("tp4").check(narrow); }), AllOf(HasSubstr("(3)"), HasSubstr("(512)")));
}

}  // namespace
}  // namespace batchscope
