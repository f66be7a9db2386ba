// How a GPU cuts attention into blocks, and the workspace that this takes: from shapes alone, so that a plan made
// without a GPU knows it, and equal for steps of equal extent, so that a graph of one can be replayed for another.
#pragma once

#include <cstdint>

#include "ops/attention.h"

namespace batchscope {

// Decode: one query a segment. A block takes some query heads of one KV head against a part of the segment's keys.
struct DecodeCut {
  std::int64_t segments = 0;
  std::int64_t head_blocks = 1;    // blocks that share a KV head's query heads
  std::int64_t heads_a_block = 1;  // query heads: 1, 4 or 8
  std::int64_t units = 0;          // of a segment: KV heads * head_blocks
  std::int64_t splits = 1;         // parts of a segment's keys, at most
  std::int64_t partial_words =
      0;  // of one head's part: its weighted values, then the largest score and the weights' sum

  static constexpr std::int64_t least_keys = 32;  // a part has as many at least, or all
  static constexpr std::int64_t most_splits = 64;

  std::int64_t partial_floats() const { return segments * units * splits * heads_a_block * partial_words; }
  // Of blocks that are done, one for every unit of a segment; behind the parts.
  std::int64_t counters() const { return segments * units; }
  std::int64_t workspace_bytes() const { return splits == 1 ? 0 : 4 * (partial_floats() + counters()); }
};
DecodeCut decode_cut(const RopeAttention& op, const AttentionExtent& extent);

std::int64_t rope_attention_workspace(const RopeAttention& op);

}  // namespace batchscope
