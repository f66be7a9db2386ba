// Tests of batches: every request once, what is padding, and that sharing a prefix changes no token that is read.
#include "engine/batch.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>

namespace batchscope {
namespace {

constexpr std::array all_packings{Packing::padded, Packing::packed, Packing::prefix};

ScoreRequest request(std::int64_t group, std::vector<std::int32_t> tokens, std::int64_t scored) {
  return {.group = group, .tokens = std::move(tokens), .scored = scored};
}

// Questions of one to four endings behind a context, of which an ending may repeat a part of another's.
std::vector<ScoreRequest> some_requests() {
  const auto groups = *rc::gen::inRange(0, 7);
  std::vector<ScoreRequest> requests;
  for (int group = 0; group < groups; ++group) {
    const auto context = *rc::gen::container<std::vector<std::int32_t>>(
        static_cast<std::size_t>(*rc::gen::inRange(1, 9)), rc::gen::inRange<std::int32_t>(1, 100));
    const auto endings = *rc::gen::inRange(1, 5);
    for (int ending = 0; ending < endings; ++ending) {
      auto tokens = context;
      const auto scored = *rc::gen::inRange(1, 6);
      for (int i = 0; i < scored; ++i) tokens.push_back(*rc::gen::inRange<std::int32_t>(1, 4));
      requests.push_back(request(group, std::move(tokens), scored));
    }
  }
  return requests;
}

// Row of the batch for each key that query row `row` sees, in order; what its model output depends on.
std::vector<std::int64_t> seen_rows(const Batch& batch, std::int64_t row) {
  for (const auto& segment : batch.segments) {
    if (row < segment.query_begin || row >= segment.query_begin + segment.query_count) continue;
    std::vector<std::int64_t> rows(static_cast<std::size_t>(segment.shared.count));
    std::iota(rows.begin(), rows.end(), segment.shared.begin);
    for (std::int64_t key = segment.own.begin; key <= row; ++key) rows.push_back(key);
    return rows;
  }
  return {};
}

// What the model is given when it computes logit row `logit` of the batch: the tokens so far.
std::vector<std::int32_t> tokens_before(const Batch& batch, std::int64_t logit) {
  const std::int64_t row = batch.logit_rows.empty() ? logit : batch.logit_rows[static_cast<std::size_t>(logit)];
  std::vector<std::int32_t> tokens;
  for (const std::int64_t at : seen_rows(batch, row)) {
    RC_ASSERT(batch.positions[static_cast<std::size_t>(at)] == std::ssize(tokens));
    tokens.push_back(batch.tokens[static_cast<std::size_t>(at)]);
  }
  return tokens;
}

void check_scored(const Batch& batch, const std::vector<ScoreRequest>& requests) {
  for (const auto& scored : batch.scored) {
    const ScoreRequest& want = requests[scored.request];
    RC_ASSERT(scored.count == want.scored);
    const std::int64_t first = std::ssize(want.tokens) - want.scored;
    for (std::int64_t i = 0; i < scored.count; ++i) {
      const auto end = want.tokens.begin() + first + i;
      RC_ASSERT(tokens_before(batch, scored.begin + i) == std::vector<std::int32_t>(want.tokens.begin(), end));
      RC_ASSERT(batch.targets[static_cast<std::size_t>(scored.begin + i)] == *end);
    }
  }
}

// Segments follow one another, cover every row, and see only rows of the batch that come before them.
void check_segments(const Batch& batch) {
  std::int64_t next = 0;
  for (const auto& segment : batch.segments) {
    RC_ASSERT(segment.query_begin == next);
    RC_ASSERT(segment.query_count > 0);
    RC_ASSERT(segment.own.begin == segment.query_begin && segment.own.count == segment.query_count);
    RC_ASSERT(segment.shared.count == 0 || segment.shared.begin + segment.shared.count <= segment.query_begin);
    next += segment.query_count;
  }
  RC_ASSERT(next == batch.rows());
  RC_ASSERT(batch.positions.size() == batch.tokens.size());
}

std::vector<std::size_t> flattened(const std::vector<RequestIndices>& batches) {
  std::vector<std::size_t> all;
  for (const auto& batch : batches) all.insert(all.end(), batch.begin(), batch.end());
  return all;
}

std::int64_t input_tokens(const std::vector<ScoreRequest>& requests, const RequestIndices& which) {
  std::int64_t tokens = 0;
  for (const std::size_t index : which) tokens += std::ssize(requests[index].tokens) - 1;
  return tokens;
}

RC_GTEST_PROP(FormBatches, EveryRequestIsInOneBatchAndNoBatchIsTooLarge, ()) {
  const auto requests = some_requests();
  const auto batch = *rc::gen::inRange<std::int64_t>(1, 10);
  for (const Packing packing : all_packings) {
    const auto batches = form_batches(requests, batch, packing);
    auto all = flattened(batches);
    std::sort(all.begin(), all.end());
    RC_ASSERT(all.size() == requests.size());
    for (std::size_t i = 0; i < all.size(); ++i) RC_ASSERT(all[i] == i);
    for (const auto& which : batches) {
      RC_ASSERT(!which.empty());
      std::set<std::int64_t> groups;
      for (const std::size_t index : which) groups.insert(requests[index].group);
      RC_ASSERT(std::ssize(which) <= batch || (packing == Packing::prefix && groups.size() == 1));
    }
  }
}

RC_GTEST_PROP(FormBatches, ComputeNoMoreTokensThanAllowedUnlessOneUnitDoes, ()) {
  const auto requests = some_requests();
  const auto tokens = *rc::gen::inRange<std::int64_t>(1, 60);
  for (const Packing packing : all_packings) {
    const auto batches = form_batches(requests, 1000, packing, tokens);
    RC_ASSERT(flattened(batches).size() == requests.size());
    for (std::size_t i = 0; i < batches.size(); ++i) {
      std::set<std::int64_t> groups;
      for (const std::size_t index : batches[i]) groups.insert(requests[index].group);
      const bool one_unit = batches[i].size() == 1 || (packing == Packing::prefix && groups.size() == 1);
      RC_ASSERT(make_batch(requests, batches[i], packing).rows() <= tokens || one_unit);
      if (i == 0) continue;  // what begins a batch had no room in the one before
      auto more = batches[i - 1];
      for (const std::size_t index : batches[i])
        if (index == batches[i].front() ||
            (packing == Packing::prefix && requests[index].group == requests[batches[i].front()].group))
          more.push_back(index);
      RC_ASSERT(make_batch(requests, more, packing).rows() > tokens);
    }
  }
}

RC_GTEST_PROP(FormBatches, TheLongestComeFirst, ()) {
  const auto requests = some_requests();
  const auto order = flattened(form_batches(requests, 3, Packing::padded));
  for (std::size_t i = 1; i < order.size(); ++i)
    RC_ASSERT(requests[order[i - 1]].tokens.size() >= requests[order[i]].tokens.size());
}

RC_GTEST_PROP(FormBatches, PrefixKeepsGroupsWholeEvenWhenSplit, ()) {
  const auto requests = some_requests();
  const auto parts = *rc::gen::inRange<std::int64_t>(1, 6);
  std::map<std::int64_t, int> pieces;  // of each group
  for (const auto& which : form_batches(requests, 4, Packing::prefix))
    for (const auto& micro : split_batch(requests, which, parts, Packing::prefix)) {
      std::set<std::int64_t> groups;
      for (const std::size_t index : micro) groups.insert(requests[index].group);
      for (const std::int64_t group : groups) ++pieces[group];
    }
  for (const auto& [group, count] : pieces) RC_ASSERT(count == 1);
}

RC_GTEST_PROP(SplitBatch, PartsAreTheBatchInOrderAndAsEvenAsItGoes, ()) {
  const auto requests = some_requests();
  const auto parts = *rc::gen::inRange<std::int64_t>(1, 9);
  for (const auto& which : form_batches(requests, 6, Packing::packed)) {
    const auto micro = split_batch(requests, which, parts, Packing::packed);
    RC_ASSERT(std::ssize(micro) == std::min(parts, std::ssize(which)));
    RC_ASSERT(flattened(micro) == which);
    for (const auto& part : micro) RC_ASSERT(micro.front().size() - part.size() <= 1u);
  }
}

RC_GTEST_PROP(MakeBatch, EveryScoredTokenIsPredictedFromAllTokensBeforeIt, ()) {
  const auto requests = some_requests();
  for (const Packing packing : all_packings) {
    std::set<std::size_t> scored;
    for (const auto& which : form_batches(requests, 5, packing)) {
      const Batch batch = make_batch(requests, which, packing);
      check_segments(batch);
      check_scored(batch, requests);
      for (const auto& one : batch.scored) RC_ASSERT(scored.insert(one.request).second);
    }
    RC_ASSERT(scored.size() == requests.size());
  }
}

RC_GTEST_PROP(MakeBatch, PaddingFillsPaddedRowsOnly, ()) {
  const auto requests = some_requests();
  for (const auto& which : form_batches(requests, 5, Packing::padded)) {
    const Batch padded = make_batch(requests, which, Packing::padded);
    RC_ASSERT(padded.rows() == padded.segments.front().query_count * std::ssize(which));
    RC_ASSERT(padded.rows() - padded.padding == input_tokens(requests, which));
    RC_ASSERT(padded.logits() == padded.rows() && padded.logit_rows.empty());

    const Batch packed = make_batch(requests, which, Packing::packed);
    RC_ASSERT(packed.rows() == input_tokens(requests, which));
    RC_ASSERT(packed.padding == 0);
    RC_ASSERT(packed.logit_rows.size() == packed.targets.size());
  }
}

RC_GTEST_PROP(MakeBatch, SharingNeverComputesMore, ()) {
  const auto requests = some_requests();
  for (const auto& which : form_batches(requests, 8, Packing::prefix)) {
    const Batch shared = make_batch(requests, which, Packing::prefix);
    RC_ASSERT(shared.rows() <= input_tokens(requests, which));
    RC_ASSERT(shared.logits() == make_batch(requests, which, Packing::packed).logits());
    RC_ASSERT(shared.padding == 0);
  }
}

TEST(MakeBatch, AContextIsComputedOnceForItsEndings) {
  const std::vector<ScoreRequest> requests{request(0, {1, 2, 3, 7, 8}, 2), request(0, {1, 2, 3, 9}, 1),
                                           request(0, {1, 2, 3, 7, 7, 7}, 3)};
  const Batch batch = make_batch(requests, {0, 1, 2}, Packing::prefix);
  EXPECT_EQ(batch.tokens, (std::vector<std::int32_t>{1, 2, 3, 7, 7, 7}));
  EXPECT_EQ(batch.positions, (std::vector<std::int32_t>{0, 1, 2, 3, 3, 4}));
  EXPECT_EQ(batch.logit_rows, (std::vector<std::int32_t>{2, 3, 2, 2, 4, 5}));
  EXPECT_EQ(batch.targets, (std::vector<std::int32_t>{7, 8, 9, 7, 7, 7}));
  ASSERT_EQ(batch.segments.size(), 3u);  // the context, and two endings with more than one token
  EXPECT_EQ(batch.segments[2].shared.count, 3);
}

TEST(MakeBatch, PaddedRowsAreAllOfTheLongestsWidth) {
  const std::vector<ScoreRequest> requests{request(0, {1, 2, 3, 4}, 1), request(1, {5, 6}, 1)};
  const Batch batch = make_batch(requests, {0, 1}, Packing::padded);
  EXPECT_EQ(batch.tokens, (std::vector<std::int32_t>{1, 2, 3, 5, 0, 0}));
  EXPECT_EQ(batch.targets, (std::vector<std::int32_t>{-1, -1, 4, 6, -1, -1}));
  EXPECT_EQ(batch.positions, (std::vector<std::int32_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(batch.padding, 2);
}

TEST(MakeBatch, ShapesAreEqualExactlyWhenTheCostIs) {
  const std::vector<ScoreRequest> requests{request(0, {1, 2, 3, 4}, 1), request(1, {5, 6, 7, 8}, 1),
                                           request(2, {5, 6, 7, 8}, 2), request(3, {5, 6, 7}, 1)};
  const auto shape = [&](std::size_t index) { return make_batch(requests, {index}, Packing::packed).shape(); };
  EXPECT_EQ(shape(0), shape(1));
  EXPECT_NE(shape(0), shape(2));  // more logits
  EXPECT_NE(shape(0), shape(3));  // fewer tokens
}

// Turns read no keys of each other, and have between them what the batch has.
RC_GTEST_PROP(TurnsOf, AreTheBatch, ()) {
  const auto requests = some_requests();
  const auto least_rows = *rc::gen::inRange<std::int64_t>(1, 40);
  for (const Packing packing : {Packing::padded, Packing::packed, Packing::prefix})
    for (const auto& which : form_batches(requests, 8, packing)) {
      const Batch batch = make_batch(requests, which, packing);
      const auto turns = turns_of(batch, least_rows);
      RC_ASSERT(turns.size() == 1 || turns.size() == 2);
      std::int64_t rows = 0;
      auto whole = batch.segments.begin();
      for (const BatchTurn& turn : turns) {
        RC_ASSERT(turn.row_begin == rows);
        RC_ASSERT(turns.size() == 1 || turn.rows >= least_rows);
        for (const AttentionSegment& segment : turn.segments) {
          RC_ASSERT(segment.query_begin + rows == whole->query_begin && segment.query_count == whole->query_count);
          RC_ASSERT(segment.own.begin + rows == whole->own.begin && segment.own.count == whole->own.count);
          RC_ASSERT(segment.own.begin >= 0 && segment.own.begin + segment.own.count <= turn.rows);
          RC_ASSERT(segment.shared.count == whole->shared.count);
          if (segment.shared.count > 0)
            RC_ASSERT(segment.shared.begin >= 0 && segment.shared.begin + rows == whole->shared.begin);
          ++whole;
        }
        rows += turn.rows;
      }
      RC_ASSERT(rows == batch.rows() && whole == batch.segments.end());
    }
}

TEST(TurnsOf, AreCutNearTheMiddleBetweenContexts) {
  const std::vector<ScoreRequest> requests{request(0, {1, 2, 3, 7, 8}, 2), request(0, {1, 2, 3, 9, 9}, 2),
                                           request(1, {4, 5, 6, 7}, 1), request(2, {1, 5, 6, 7, 8}, 1)};
  const Batch batch = make_batch(requests, {0, 1, 2, 3}, Packing::prefix);
  ASSERT_EQ(batch.rows(), 12);  // 3 + 1 + 1, then 3 and 4
  const auto turns = turns_of(batch, 2);
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[1].row_begin, 5);
  EXPECT_EQ(turns[1].segments.front().query_begin, 0);
  EXPECT_EQ(turns_of(batch, 6).size(), 1u);  // 5 rows and 7: a group is not cut
  EXPECT_EQ(turns_of(make_batch(requests, {0, 1}, Packing::prefix), 1).size(), 1u);
}

TEST(FormBatches, ABatchOfNothingIsADefect) {
  EXPECT_THROW(form_batches({}, 0, Packing::padded), std::logic_error);
  EXPECT_TRUE(form_batches({}, 4, Packing::prefix).empty());
}

}  // namespace
}  // namespace batchscope
