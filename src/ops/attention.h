// Attention (Vaswani et al. 2017) over segments of a batch, with grouped KV heads (Ainslie et al. 2023): in plain
// steps with the scores in memory, as eager frameworks compute it, and fused with RoPE without a score matrix
// (online softmax: Milakov and Gimelshein 2018; tiles: Dao et al. 2022).
#pragma once

#include <algorithm>
#include <vector>

#include "device/device.h"

namespace batchscope {

// Rows of the key and value tensors.
struct KeySpan {
  std::int64_t begin = 0, count = 0;
};

// Queries that see the same keys: one sequence, one padded row, or an ending behind a context that it shares.
struct AttentionSegment {
  std::int64_t query_begin = 0, query_count = 0;  // rows of q
  KeySpan shared;                                 // seen by every query of the segment
  KeySpan own;  // causal: query i sees the first own.count - query_count + i + 1 of them
  std::int64_t keys() const { return shared.count + own.count; }
  // Where query i stands among the keys, the shared ones first.
  std::int64_t position(std::int64_t i) const { return keys() - query_count + i; }
};

// Which KV head each query head of this rank reads: (first_head + h) / group - first_kv_head.
struct HeadMap {
  std::int64_t heads = 0;  // query heads here
  std::int64_t head_dim = 0;
  std::int64_t first_head = 0;     // in the whole model
  std::int64_t group = 1;          // query heads a KV head
  std::int64_t first_kv_head = 0;  // in the whole model
  std::int64_t kv_head(std::int64_t head) const { return (first_head + head) / group - first_kv_head; }
};

// A row of the table that a device reads: query_begin, query_count, shared.begin, shared.count, own.begin, own.count.
inline constexpr std::int64_t segment_words = 6;
void write_segments(const std::vector<AttentionSegment>& segments, std::int32_t* table);

// What a grid may depend on: steps of equal extent launch equal kernels, so that a graph of one can be replayed for
// another.
struct AttentionExtent {
  std::int64_t segments = 0;
  std::int64_t queries = 0;  // the most of any segment
  std::int64_t keys = 0;     // the most of any segment, rounded up to whole `key_step`s
  static constexpr std::int64_t key_step = 256;
};
AttentionExtent extent_of(const std::vector<AttentionSegment>& segments);

// The tensors of one layer's attention; k and v may be a cache with more rows than q. The host's segments are for cost
// and for grids, the table, which has the same, for kernels that run later.
struct AttentionShape {
  const std::vector<AttentionSegment>* segments;  // outlives the call
  HeadMap map;
  std::int64_t window = 0;  // newest keys that a query sees, itself included; 0: all before it
  Tensor table = {};        // [segments, segment_words] i32
  // The first key, among a segment's, that its query i sees.
  std::int64_t first_key(const AttentionSegment& segment, std::int64_t i) const {
    return window == 0 ? 0 : std::max<std::int64_t>(segment.position(i) + 1 - window, 0);
  }
};

// Elements of the score matrix: for each segment [heads, query_count, keys], one behind the other. A window hides
// scores and does not save their memory, as in eager frameworks.
std::int64_t score_elements(const AttentionShape& shape);

struct AttentionScores {  // scores = q k^T / sqrt(head_dim)
  Tensor q;               // [tokens, heads * head_dim]
  Tensor k;               // [rows, kv_heads * head_dim]
  Tensor scores;          // [1, score_elements]
  AttentionShape shape;
};
void attention_scores(Device& device, const Tensor& q, const Tensor& k, const AttentionShape& shape,
                      const Tensor& scores);

struct CausalMask {  // scores of keys that a query may not see become -infinity
  Tensor scores;
  AttentionShape shape;
};
void causal_mask(Device& device, const AttentionShape& shape, const Tensor& scores);

struct AttentionSoftmax {  // over the keys, in place, in f32
  Tensor scores;
  AttentionShape shape;
};
void attention_softmax(Device& device, const AttentionShape& shape, const Tensor& scores);

struct AttentionValues {  // out = scores v
  Tensor scores;
  Tensor v;    // [rows, kv_heads * head_dim]
  Tensor out;  // [tokens, heads * head_dim]
  AttentionShape shape;
};
void attention_values(Device& device, const Tensor& scores, const Tensor& v, const AttentionShape& shape,
                      const Tensor& out);

// QK norm: RMSNorm of each head, before RoPE.
struct QkNorm {
  Tensor q, k;  // [1, head_dim] weights; nothing: no norm
  float epsilon = 0;
};

// Norms and rotates the new keys, puts them and the new values to the others (the last query_count own ones of each
// segment), then attends with normed and rotated queries. What q, new_k and new_v hold afterwards is the device's affair.
struct RopeAttention {
  Tensor q;             // [tokens, heads * head_dim], before norm and RoPE
  Tensor new_k, new_v;  // [tokens, kv_heads * head_dim], before norm and RoPE
  Tensor key_rows;      // [1, tokens] i32, where they go in k and v; nothing: k and v are new_k and new_v
  Tensor k, v;          // [rows, kv_heads * head_dim]; keys that were there before have norm and RoPE behind them. On a
                        // CPU bf16 also where the rest is f32
  QkNorm norm;
  Tensor cosine, sine;  // [tokens, head_dim / 2] f32
  AttentionShape shape;
  Tensor out;  // [tokens, heads * head_dim]
  static constexpr std::int64_t largest_head_dim = 256;
};
void rope_attention(Device& device, const RopeAttention& op);

}  // namespace batchscope
