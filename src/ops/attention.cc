// Attention: sizes, cost, dispatch.
#include "ops/attention.h"

namespace batchscope {
namespace {

// Query-key pairs, all of them or those that causality leaves.
double score_pairs(const AttentionShape& shape, bool visible_only) {
  double pairs = 0;
  for (const auto& segment : *shape.segments) {
    const auto queries = static_cast<double>(segment.query_count);
    pairs += queries * static_cast<double>(segment.keys());
    if (visible_only) pairs -= queries * (queries - 1) / 2;
  }
  return pairs * static_cast<double>(shape.map.heads);
}

}  // namespace

std::int64_t score_elements(const AttentionShape& shape) {
  std::int64_t elements = 0;
  for (const auto& segment : *shape.segments) elements += shape.map.heads * segment.query_count * segment.keys();
  return elements;
}

void attention_scores(Device& device, const Tensor& q, const Tensor& k, const AttentionShape& shape,
                      const Tensor& scores) {
  CHECK_EQUAL(scores.columns, score_elements(shape), "scores have a place for every pair");
  const double flop = 2 * score_pairs(shape, false) * static_cast<double>(shape.map.head_dim);
  device.launch({"attention_scores", flop, q.bytes() + k.bytes() + scores.bytes()},
                AttentionScores{q, k, scores, shape});
}

void causal_mask(Device& device, const AttentionShape& shape, const Tensor& scores) {
  device.launch({"causal_mask", 0, 2 * scores.bytes()}, CausalMask{scores, shape});
}

void attention_softmax(Device& device, const AttentionShape& shape, const Tensor& scores) {
  device.launch({"attention_softmax", 5 * score_pairs(shape, false), 2 * scores.bytes()},
                AttentionSoftmax{scores, shape});
}

void attention_values(Device& device, const Tensor& scores, const Tensor& v, const AttentionShape& shape,
                      const Tensor& out) {
  const double flop = 2 * score_pairs(shape, false) * static_cast<double>(shape.map.head_dim);
  device.launch({"attention_values", flop, scores.bytes() + v.bytes() + out.bytes()},
                AttentionValues{scores, v, out, shape});
}

void rope_attention(Device& device, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cosine,
                    const Tensor& sine, const AttentionShape& shape, const Tensor& out) {
  CHECK_EQUAL(q.rows, cosine.rows, "one row of angles a token");
  CHECK_THAT(shape.map.head_dim <= RopeAttention::largest_head_dim, "heads of {} are within the kernel's tile",
             shape.map.head_dim);
  const double flop = 4 * score_pairs(shape, true) * static_cast<double>(shape.map.head_dim);
  device.launch({"rope_attention", flop, q.bytes() + k.bytes() + v.bytes() + out.bytes()},
                RopeAttention{q, k, v, cosine, sine, out, shape});
}

}  // namespace batchscope
