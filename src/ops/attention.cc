// Attention: sizes, cost, dispatch.
#include "ops/attention.h"

#include <algorithm>

namespace batchscope {
namespace {

// Sum over queries that see low, low + 1, … high keys, of which a window leaves `window` at most.
double visible_pairs(std::int64_t low, std::int64_t high, std::int64_t window) {
  const std::int64_t cut = window == 0 ? high : std::clamp(window, low - 1, high);  // up to here all are left
  const auto sum = [](std::int64_t n) { return static_cast<double>(n) * static_cast<double>(n + 1) / 2; };
  return sum(cut) - sum(low - 1) + static_cast<double>(high - cut) * static_cast<double>(window);
}

// Query-key pairs, all of them or those that causality and window leave.
double score_pairs(const AttentionShape& shape, bool visible_only) {
  double pairs = 0;
  for (const auto& segment : *shape.segments) {
    if (visible_only)
      pairs += visible_pairs(segment.position(0) + 1, segment.keys(), shape.window);
    else
      pairs += static_cast<double>(segment.query_count) * static_cast<double>(segment.keys());
  }
  return pairs * static_cast<double>(shape.map.heads);
}

// Bytes of the keys (or values) that are read: of a cache only the rows that hold tokens, under a window only those
// that some query sees. Shared ones are some segment's own.
std::int64_t key_bytes(const AttentionShape& shape, const Tensor& k, bool visible_only) {
  std::int64_t rows = 0;
  for (const auto& segment : *shape.segments) {
    const std::int64_t first = visible_only && segment.query_count > 0 ? shape.first_key(segment, 0) : 0;
    rows += segment.own.count - std::max<std::int64_t>(first - segment.shared.count, 0);
  }
  return rows * k.columns * size_of(k.dtype);
}

}  // namespace

std::int64_t score_elements(const AttentionShape& shape) {
  std::int64_t elements = 0;
  for (const auto& segment : *shape.segments) elements += shape.map.heads * segment.query_count * segment.keys();
  return elements;
}

AttentionExtent extent_of(const std::vector<AttentionSegment>& segments) {
  AttentionExtent extent{.segments = std::ssize(segments)};
  for (const auto& segment : segments) {
    extent.queries = std::max(extent.queries, segment.query_count);
    extent.keys = std::max(extent.keys, segment.keys());
  }
  extent.keys = (extent.keys + AttentionExtent::key_step - 1) / AttentionExtent::key_step * AttentionExtent::key_step;
  return extent;
}

void write_segments(const std::vector<AttentionSegment>& segments, std::int32_t* table) {
  for (const auto& segment : segments)
    for (const std::int64_t word : {segment.query_begin, segment.query_count, segment.shared.begin, segment.shared.count,
                                    segment.own.begin, segment.own.count})
      *table++ = static_cast<std::int32_t>(word);
}

void attention_scores(Device& device, const Tensor& q, const Tensor& k, const AttentionShape& shape,
                      const Tensor& scores) {
  CHECK_EQUAL(scores.columns, score_elements(shape), "scores have a place for every pair");
  const double flop = 2 * score_pairs(shape, false) * static_cast<double>(shape.map.head_dim);
  device.launch({"attention_scores", flop, q.bytes() + key_bytes(shape, k, false) + scores.bytes(), scores.dtype,
                 scores.elements()},
                AttentionScores{q, k, scores, shape});
}

void causal_mask(Device& device, const AttentionShape& shape, const Tensor& scores) {
  device.launch({"causal_mask", 0, 2 * scores.bytes(), scores.dtype, scores.elements()}, CausalMask{scores, shape});
}

void attention_softmax(Device& device, const AttentionShape& shape, const Tensor& scores) {
  device.launch(
      {"attention_softmax", 5 * score_pairs(shape, false), 2 * scores.bytes(), scores.dtype, scores.elements()},
      AttentionSoftmax{scores, shape});
}

void attention_values(Device& device, const Tensor& scores, const Tensor& v, const AttentionShape& shape,
                      const Tensor& out) {
  const double flop = 2 * score_pairs(shape, false) * static_cast<double>(shape.map.head_dim);
  device.launch({"attention_values", flop, scores.bytes() + key_bytes(shape, v, false) + out.bytes(), out.dtype,
                 out.elements()},
                AttentionValues{scores, v, out, shape});
}

void rope_attention(Device& device, const RopeAttention& op) {
  CHECK_EQUAL(op.q.rows, op.cosine.rows, "one row of angles a token");
  CHECK_EQUAL(op.q.rows, op.new_k.rows, "one new key a token");
  CHECK_THAT(op.key_rows.columns == op.q.rows || op.k.data == op.new_k.data, "new keys have {} of {} places",
             op.key_rows.columns, op.q.rows);
  CHECK_THAT(op.shape.map.head_dim <= RopeAttention::largest_head_dim, "heads of {} are within the kernel's tile",
             op.shape.map.head_dim);
  const double flop = 4 * score_pairs(op.shape, true) * static_cast<double>(op.shape.map.head_dim);
  const std::int64_t kv_bytes = key_bytes(op.shape, op.k, true) + key_bytes(op.shape, op.v, true);
  // New keys and values are read and, in the dtype of the others, written.
  const std::int64_t moved =
      op.key_rows.columns > 0 ? (op.new_k.elements() + op.new_v.elements()) * (size_of(op.new_k.dtype) + size_of(op.k.dtype))
                              : 0;
  device.launch({"rope_attention", flop, op.q.bytes() + kv_bytes + moved + op.out.bytes(), op.out.dtype,
                 op.out.elements()},
                op);
}

}  // namespace batchscope
