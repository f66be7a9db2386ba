// Tests of a replica's slots and steps, without a model.
#include "engine/generation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace batchscope {
namespace {

using Tokens = std::vector<std::int32_t>;

GenerateRequest request(std::int64_t prompt, std::int64_t new_tokens) {
  GenerateRequest made{.prompt = Tokens(static_cast<std::size_t>(prompt)), .new_tokens = new_tokens};
  std::iota(made.prompt.begin(), made.prompt.end(), 10);
  return made;
}

Generation generation_of(const std::vector<GenerateRequest>& requests, const RequestIndices& served, std::int64_t batch,
                         std::span<const std::int32_t> eos = {}) {
  return {extent_of(requests, served, batch), eos};
}

std::vector<NumberedRequest> some(const std::vector<GenerateRequest>& requests, const RequestIndices& which) {
  std::vector<NumberedRequest> all;
  for (const std::size_t index : which) all.push_back(numbered(requests, index));
  return all;
}

TEST(Generation, PromptsArePackedIntoSlotsAndThenGoOnByOneToken) {
  const std::vector<GenerateRequest> requests{request(3, 5), request(2, 2), request(4, 1)};
  Generation generation = generation_of(requests, {0, 1, 2}, 2);
  EXPECT_EQ(generation.cache_rows(), 2 * 8);
  EXPECT_EQ(generation.free_slots(), 2u);
  EXPECT_FALSE(generation.is_active());

  const GenerationStep prompts = generation.prefill(some(requests, {0, 1}));
  EXPECT_TRUE(prompts.is_prefill);
  EXPECT_EQ(prompts.batch.tokens, Tokens({10, 11, 12, 10, 11}));
  EXPECT_EQ(prompts.batch.positions, Tokens({0, 1, 2, 0, 1}));
  EXPECT_EQ(prompts.cache_rows, Tokens({0, 1, 2, 8, 9}));
  EXPECT_EQ(prompts.batch.logit_rows, Tokens({2, 4}));
  EXPECT_EQ(prompts.requests, (RequestIndices{0, 1}));
  EXPECT_EQ(generation.free_slots(), 0u);
  generation.append(prompts, Tokens{70, 71});

  const GenerationStep next = generation.decode();
  EXPECT_FALSE(next.is_prefill);
  EXPECT_EQ(next.batch.tokens, Tokens({70, 71}));
  EXPECT_EQ(next.batch.positions, Tokens({3, 2}));
  EXPECT_EQ(next.cache_rows, Tokens({3, 10}));
  EXPECT_EQ(next.batch.segments[1].own.begin, 8);
  EXPECT_EQ(next.batch.segments[1].own.count, 3);
  generation.append(next, Tokens{72, 73});
  EXPECT_EQ(generation.free_slots(), 1u);  // request 1 has its two tokens

  const GenerationStep late = generation.prefill(some(requests, {2}));
  EXPECT_EQ(late.slots, std::vector<std::size_t>{1});
  EXPECT_EQ(late.cache_rows, Tokens({8, 9, 10, 11}));
  generation.append(late, Tokens{74});
  EXPECT_EQ(generation.decode().requests, RequestIndices{0});
}

TEST(Generation, StopsAtEosWhereTheRequestDoes) {
  std::vector<GenerateRequest> requests{request(1, 9), request(1, 9)};
  requests[1].stop_at_eos = false;
  const Tokens eos{2, 3};
  Generation generation = generation_of(requests, {0, 1}, 2, eos);
  generation.append(generation.prefill(some(requests, {0, 1})), Tokens{3, 3});
  EXPECT_EQ(generation.decode().requests, RequestIndices{1});
  EXPECT_FALSE(is_last_token(requests[0], 8, 4, eos));
  EXPECT_TRUE(is_last_token(requests[0], 9, 4, eos));
  requests[0].min_new_tokens = 2;
  EXPECT_FALSE(is_last_token(requests[0], 2, 3, eos));
  EXPECT_TRUE(is_last_token(requests[0], 3, 3, eos));
}

TEST(Generation, DrawsFollowRequestAndPositionNotTheSlot) {
  std::vector<GenerateRequest> requests{request(3, 4), request(3, 4), request(3, 4)};
  for (auto& each : requests) each.sampling = {.temperature = 1, .seed = 5};
  Generation together = generation_of(requests, {0, 1, 2}, 3), alone = generation_of(requests, {0, 1, 2}, 1);
  const GenerationStep all = together.prefill(some(requests, {0, 1, 2}));
  const GenerationStep first = alone.prefill(some(requests, {2}));
  EXPECT_EQ(all.draws[2].uniform, first.draws[0].uniform);
  EXPECT_NE(all.draws[0].uniform, all.draws[1].uniform);
  together.append(all, Tokens{1, 1, 1});
  alone.append(first, Tokens{1});
  EXPECT_EQ(together.decode().draws[2].uniform, alone.decode().draws[0].uniform);
  EXPECT_NE(together.decode().draws[2].uniform, all.draws[2].uniform);
}

TEST(Generation, CancelledSequencesLeaveTheirSlotsAtOnce) {
  const std::vector<GenerateRequest> requests{request(3, 5), request(2, 5), request(2, 5)};
  Generation generation = generation_of(requests, {0, 1, 2}, 2);
  generation.append(generation.prefill(some(requests, {0, 1})), Tokens{70, 71});
  const std::vector<std::size_t> cancelled{0, 9};
  generation.cancel(cancelled);
  EXPECT_EQ(generation.free_slots(), 1u);
  EXPECT_EQ(generation.decode().requests, RequestIndices{1});
  EXPECT_EQ(generation.prefill(some(requests, {2})).slots, std::vector<std::size_t>{0});
}

TEST(Generation, SequencesWhoseLogitsAreNoNumbersEnd) {
  const std::vector<GenerateRequest> requests{request(3, 5), request(2, 5)};
  Generation generation = generation_of(requests, {0, 1}, 2);
  generation.append(generation.prefill(some(requests, {0, 1})), Tokens{-1, 71});
  EXPECT_EQ(generation.decode().requests, RequestIndices{1});
}

// Rows of the prompts that are scored follow those of the next tokens.
TEST(Generation, ScoredPromptsHaveARowForEachTokenButTheFirst) {
  std::vector<GenerateRequest> requests{request(3, 1), request(1, 1), request(2, 1)};
  for (const std::size_t index : {1u, 2u})
    requests[index].log_probabilities = requests[index].prompt_log_probabilities = true;
  Generation generation = generation_of(requests, {0, 1, 2}, 3);
  const GenerationStep step = generation.prefill(some(requests, {0, 1, 2}));
  EXPECT_TRUE(step.has_log_probabilities);
  EXPECT_EQ(step.batch.logit_rows, Tokens({2, 3, 5, 4}));
  EXPECT_EQ(step.batch.targets, Tokens({-1, -1, -1, 11}));
  ASSERT_EQ(step.batch.scored.size(), 2u);
  EXPECT_EQ(step.batch.scored[0].count, 0);
  EXPECT_EQ(step.batch.scored[1].request, 2u);
  EXPECT_EQ(step.batch.scored[1].begin, 3);
  EXPECT_EQ(step.batch.scored[1].count, 1);
}

// What a step's buffers depend on: rows, logit rows, and scores of the plain attention.
struct Size {
  std::int64_t rows, logits, scores;
  bool drawn;
};

Size size_of(const GenerationStep& step) {
  Size size{step.batch.rows(), step.batch.logits(), 0, false};
  for (const auto& segment : step.batch.segments) size.scores += segment.query_count * segment.keys();
  for (const auto& draw : step.draws) size.drawn = size.drawn || draw.temperature > 0;
  return size;
}

// Whatever is admitted when, no step is larger than the largest ones.
TEST(Generation, NoStepIsLargerThanTheLargest) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<GenerateRequest> requests;
    RequestIndices served;
    for (std::size_t i = 0; i < 1 + random() % 9; ++i) {
      requests.push_back(request(1 + random() % 12, 1 + random() % 6));
      if (random() % 4 == 0) requests.back().sampling.temperature = 1;
      served.push_back(i);
    }
    Generation generation = generation_of(requests, served, static_cast<std::int64_t>(1 + random() % 5));
    const auto largest = generation.largest_steps();
    const auto expect_within = [&](const GenerationStep& step) {
      ASSERT_LE(step.is_prefill ? 1u : 2u, largest.size());
      const Size size = size_of(step), most = size_of(step.is_prefill ? largest[0] : largest[1]);
      EXPECT_LE(size.rows, most.rows);
      EXPECT_LE(size.logits, most.logits);
      EXPECT_LE(size.scores, most.scores);
      EXPECT_LE(size.drawn, most.drawn);
      for (const std::int32_t row : step.cache_rows) EXPECT_LT(row, generation.cache_rows());
    };
    std::shuffle(served.begin(), served.end(), random);
    while (!served.empty() || generation.is_active()) {
      const std::size_t most = std::min(generation.free_slots(), served.size());
      const std::size_t admitted = most == 0 ? 0 : random() % (most + 1);
      if (admitted == 0 && !generation.is_active()) continue;
      const RequestIndices now(served.end() - static_cast<std::ptrdiff_t>(admitted), served.end());
      served.resize(served.size() - admitted);
      const GenerationStep step = admitted > 0 ? generation.prefill(some(requests, now)) : generation.decode();
      expect_within(step);
      generation.append(step, Tokens(step.requests.size(), 1));
    }
  }
}

// Requests that are not known beforehand, within what is said of them.
TEST(Generation, NoStepOfOpenEndedOnesIsLargerThanTheLargest) {
  std::mt19937 random(12);
  for (int round = 0; round < 200; ++round) {
    const auto batch = static_cast<std::int64_t>(1 + random() % 5),
               longest = static_cast<std::int64_t>(2 + random() % 12),
               prompts = static_cast<std::int64_t>(1 + random() % 30);
    Generation generation(open_extent(batch, longest, prompts), {});
    Size most{};
    for (const GenerationStep& step : generation.largest_steps()) {
      const Size size = size_of(step);
      most = {std::max(most.rows, size.rows), std::max(most.logits, size.logits), std::max(most.scores, size.scores),
              true};
    }
    std::vector<NumberedRequest> admitted;
    for (std::int64_t tokens = 0; std::ssize(admitted) < batch;) {
      NumberedRequest one{.request = request(1 + static_cast<std::int64_t>(random()) % (longest - 1), 1)};
      tokens += std::ssize(one.request.prompt);
      if (tokens > prompts && !admitted.empty()) break;
      one.request.log_probabilities = one.request.prompt_log_probabilities = random() % 2 == 0;
      admitted.push_back(one);
    }
    const Size size = size_of(generation.prefill(admitted));
    EXPECT_LE(size.rows, most.rows);
    EXPECT_LE(size.scores, most.scores);
    EXPECT_LE(size.logits, most.logits + std::ssize(admitted));
  }
}

}  // namespace
}  // namespace batchscope
