// Batches: which tokens go through the model together, and which of its outputs are scored.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "ops/attention.h"

namespace batchscope {

struct BatchTurn;

struct Batch {
  std::vector<std::int32_t> tokens;     // [tokens]
  std::vector<std::int32_t> positions;  // [tokens], of each in its sequence
  std::vector<AttentionSegment> segments;
  // Rows that logits are computed of; empty: all rows, in order.
  std::vector<std::int32_t> logit_rows;
  std::vector<std::int32_t> targets;  // [logit rows], the token whose probability is wanted; -1: none

  // Where a request's log-probabilities stand among the logit rows.
  struct Scored {
    std::size_t request;
    std::int64_t begin, count;
  };
  std::vector<Scored> scored;
  std::int64_t padding = 0;  // of the tokens

  std::int64_t rows() const { return static_cast<std::int64_t>(tokens.size()); }
  std::int64_t logits() const { return static_cast<std::int64_t>(targets.size()); }
  // Equal for batches that cost the same memory, traffic and arithmetic.
  std::vector<std::int64_t> shape() const;
  // Equal for batches of which the fused attention launches equal kernels: lengths may differ within its extent.
  std::vector<std::int64_t> launch_shape(std::span<const BatchTurn> turns) const;
};

// Rows of a batch that go through a layer together, [row_begin, row_begin + rows), and their segments, which count rows
// from row_begin on.
struct BatchTurn {
  std::int64_t row_begin = 0, rows = 0;
  std::vector<AttentionSegment> segments;
};

// A batch in two turns of about as many rows, neither of which reads the other's keys; in one where that cannot be, or
// one of them would have fewer than `least_rows`.
std::vector<BatchTurn> turns_of(const Batch& batch, std::int64_t least_rows);
std::vector<BatchTurn> one_turn(const Batch& batch);

// Some of a task's requests, by index.
using RequestIndices = std::vector<std::size_t>;

// Which requests share a batch of `batch` sequences that computes `tokens` tokens, at most: longest first, so that rows
// are of like length and the first batch is the largest. `prefix` keeps the requests of a group together: a batch holds at
// least one whole group, or one sequence, however long.
std::vector<RequestIndices> form_batches(std::span<const ScoreRequest> requests, std::int64_t batch, Packing packing,
                                         std::optional<std::int64_t> tokens = {});

// Cuts a batch's requests into at most `parts` micro-batches, groups kept whole under `prefix`.
std::vector<RequestIndices> split_batch(std::span<const ScoreRequest> requests, const RequestIndices& batch,
                                        std::int64_t parts, Packing packing);

// padded: every row as long as the longest, logits of all rows, as eager frameworks have it. packed: no padding, logits
// of scored rows only. prefix: packed, and what the requests of a group have in common before their scored part is
// computed once.
Batch make_batch(std::span<const ScoreRequest> requests, const RequestIndices& which, Packing packing);

}  // namespace batchscope
