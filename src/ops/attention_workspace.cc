// How a GPU cuts attention into blocks.
#include "ops/attention_workspace.h"

#include <algorithm>

namespace batchscope {
namespace {

// As many blocks as a decode step should have at least: three for each of an H100's multiprocessors, with fewer of which its
// loads do not cover memory's latency. Not what the GPU has: a plan is made without one.
constexpr std::int64_t enough_blocks = 3 * 132;

std::int64_t parts(std::int64_t whole, std::int64_t part) { return (whole + part - 1) / part; }

}  // namespace

DecodeCut decode_cut(const RopeAttention& op, const AttentionExtent& extent) {
  const HeadMap& map = op.shape.map;
  const std::int64_t sharing = std::min(map.group, map.heads);  // query heads of one KV head, at most
  DecodeCut cut{.segments = extent.segments,
                .heads_a_block = sharing == 1   ? 1
                                 : sharing <= 4 ? 4
                                                : 8,
                .partial_words = map.head_dim + 2};
  cut.head_blocks = parts(sharing, cut.heads_a_block);
  cut.units = op.k.columns / map.head_dim * cut.head_blocks;
  const std::int64_t blocks = std::max<std::int64_t>(cut.segments * cut.units, 1);
  const std::int64_t most = std::min(DecodeCut::most_splits, extent.keys / DecodeCut::least_keys);
  cut.splits = std::clamp<std::int64_t>(parts(enough_blocks, blocks), 1,
                                        std::max<std::int64_t>(most, 1));
  return cut;
}

std::int64_t rope_attention_workspace(const RopeAttention& op) {
  const AttentionExtent extent = extent_of(*op.shape.segments);
  return extent.queries == 1 ? decode_cut(op, extent).workspace_bytes() : 0;
}

}  // namespace batchscope
